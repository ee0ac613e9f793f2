// SPDX-License-Identifier: Apache-2.0

import com.sun.tools.attach.VirtualMachine;

/**
 * Loads an agent into another JVM: PID, jar, options. Not by our own way, which is what is tested.
 */
public class LoadAgent {
  public static void main(String[] arguments) throws Exception {
    VirtualMachine machine = VirtualMachine.attach(arguments[0]);
    machine.loadAgent(arguments[1], arguments[2]);
    machine.detach();
  }
}
