// SPDX-License-Identifier: Apache-2.0
package com.acme.store;

public class Shelf implements Runnable {
  public void run() {}

  int size(String[] names) {
    return names.length;
  }
}
