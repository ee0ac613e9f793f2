/* SPDX-License-Identifier: Apache-2.0
 *
 * Loads a provider and prints the path of its library.
 */
#include "libstapsdt.h"

#include <stdio.h>

int main(void)
{
	SDTProvider_t *provider = providerInit("where");

	providerAddProbe(provider, "here", 1, uint64);
	if (providerLoad(provider)) {
		printf("%s\n", provider->error);
		return 1;
	}
	printf("%s\n", provider->_filename);
	providerDestroy(provider);
	return 0;
}
