// SPDX-License-Identifier: Apache-2.0
package com.acme;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

@interface Service {}

@interface Timed {}

class Customer {
  private String city;

  String getCity() {
    return city;
  }
}

class Order {
  long id;
  Customer customer;

  Customer customer() {
    return customer;
  }

  static class Line {
    int total(int price, int count) {
      return price * count;
    }
  }
}

@Service
class Orders {
  static final Map<Long, Order> BY_ID = new ConcurrentHashMap<>();

  boolean place(Order order) {
    return BY_ID.put(order.id, order) == null;
  }

  boolean place(long id, String city) {
    return id > 0 && place(new Order());
  }

  public static Order find(long id) {
    return BY_ID.get(id);
  }

  public void cancel(long... ids) {
    for (long id : ids) {
      BY_ID.remove(id);
    }
  }

  @Timed
  private synchronized void audit(Map.Entry<Long, Order> entry, String by, int level) {}
}

abstract class Job implements Runnable {
  abstract int size();
}

class Import extends Job {
  int size() {
    return 0;
  }

  @Timed
  public void run() {}
}
