/* SPDX-License-Identifier: Apache-2.0
 *
 * The environment, as far as it is that of a user who has the program's rights.
 */
#ifndef TRUSTED_ENVIRONMENT_H
#define TRUSTED_ENVIRONMENT_H

/* Returns the variable's value, or NULL if there is none, or if the program has more rights than
 * the user who has started it: by a setuid or setgid bit, by file capabilities, or by a security
 * module (AT_SECURE in getauxval(3)). */
const char *trusted_environment(const char *name);

#endif
