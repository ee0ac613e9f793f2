/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads environment variables unless a user with fewer rights than the program may have set them.
 */
#ifndef TRUSTED_ENVIRONMENT_H
#define TRUSTED_ENVIRONMENT_H

/* Returns the variable's value. NULL if it is not set, or if the program has more rights than the
 * user who started it, by a setuid or setgid bit, file capabilities, or a security module
 * (AT_SECURE in getauxval(3)). */
const char *trusted_environment(const char *name);

#endif
