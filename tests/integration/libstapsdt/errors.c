/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints libstapsdt's errors for misuse, one line per case: result, error code, and 1 if there is
 * a message.
 */
#include <libstapsdt.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static void say(const char *what, int result, const SDTProvider_t *provider)
{
	printf("%s: %d %d %s\n", what, result, (int)provider->errno,
	       provider->error ? provider->error : "-");
}

int main(void)
{
	char name[300];
	SDTProvider_t *provider = providerInit("errors");
	SDTProbe_t *probe = providerAddProbe(provider, "probe", 1, int64);
	SDTProbe_t *second;

	say("unload first", providerUnload(provider), provider);
	say("load", providerLoad(provider), provider);
	say("load again", providerLoad(provider), provider);
	say("handle", dlsym(provider->_handle, "probe") == probe->_fire, provider);
	say("list", &provider->probes->probe == probe && !provider->probes->next, provider);
	say("count", probe->argCount == 1 && probe->argFmt[0] == int64 && probe->argFmt[1] == noarg,
	    provider);
	say("unload", providerUnload(provider), provider);
	say("unfireable", probe->_fire == NULL && provider->_handle == NULL, provider);
	second = providerAddProbe(provider, "probe", 0);
	say("second of a name", second != NULL, provider);
	second = providerAddProbe(provider, "many", 13);
	say("13 arguments", second != NULL, provider);
	second = providerAddProbe(provider, "", 0);
	say("empty name", second != NULL, provider);
	probeFire(second, 1);
	say("fire nothing", probeIsEnabled(second), provider);
	providerDestroy(provider);

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	provider = providerInit(name);
	say("long name", providerLoad(provider), provider);
	providerDestroy(provider);
	provider = providerInit("");
	say("no name", providerLoad(provider), provider);
	say("unload nothing", providerUnload(provider), provider);
	providerDestroy(provider);

	provider = providerInit("closed");
	providerLoad(provider);
	dlclose(provider->_handle);
	say("closed by the program", providerUnload(provider), provider);
	providerDestroy(provider);
	return 0;
}
