// SPDX-License-Identifier: Apache-2.0

/** Keeps one of its two packages to itself. */
module com.acme.depot {
  exports com.acme.depot;
}
