// SPDX-License-Identifier: Apache-2.0

/** Exports one of its two packages. */
module com.acme.depot {
  exports com.acme.depot;
}
