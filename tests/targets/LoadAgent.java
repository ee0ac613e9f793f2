// SPDX-License-Identifier: Apache-2.0

import com.sun.tools.attach.VirtualMachine;

/**
 * Loads an agent into another JVM through the JDK's attach API, because jprobe's own loading is
 * under test. Arguments: PID, jar, options.
 */
public class LoadAgent {
  public static void main(String[] arguments) throws Exception {
    VirtualMachine machine = VirtualMachine.attach(arguments[0]);
    machine.loadAgent(arguments[1], arguments[2]);
    machine.detach();
  }
}
