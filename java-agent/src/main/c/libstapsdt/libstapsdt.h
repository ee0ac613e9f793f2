/* SPDX-License-Identifier: Apache-2.0
 *
 * The interface of libstapsdt (github.com/linux-usdt/libstapsdt) with the same names, numbers and
 * structure layouts, so that programs and bindings written for it compile and run unchanged.
 * Additions are marked "New". Any thread may call any function at any time, except providerDestroy:
 * no other thread may use the provider or its probes then or later.
 */
#ifndef _LIBSTAPSDT_H
#define _LIBSTAPSDT_H

#ifdef __cplusplus
extern "C" {
#endif

/* Number of types that an SDTProbe_t stores. */
#define MAX_ARGUMENTS 6

/* New: maximum number of arguments of a probe. */
#define SDT_MAX_ARGUMENTS 12

typedef enum {
	noError = -1,
	elfCreationError = 0,
	tmpCreationError = 1,
	sharedLibraryOpenError = 2,
	symbolLoadingError = 3,
	sharedLibraryCloseError = 4,
} SDTError_t;

typedef enum {
	noarg = 0,
	uint8 = 1,
	int8 = -1,
	uint16 = 2,
	int16 = -2,
	uint32 = 4,
	int32 = -4,
	uint64 = 8,
	int64 = -8,
	/* New. Pass a double to probeFire for the first two; tracers see raw IEEE 754 bits in 4 or
	 * 8 bytes. Pass a char * to NUL-terminated UTF-8 for the third; tracers see a uint64. */
	sdtFloat32 = 0x14,
	sdtFloat64 = 0x18,
	sdtString = 0x28,
} ArgType_t;

typedef enum {
	memfd_disabled = 0,
	memfd_enabled = 1,
} MemFDOption_t;

struct SDTProvider;

typedef struct SDTProbe {
	char *name;
	ArgType_t argFmt[MAX_ARGUMENTS]; /* types of the first six arguments */
	void *_fire;			 /* the stub; NULL while the probe is not loaded */
	struct SDTProvider *provider;
	int argCount;
} SDTProbe_t;

typedef struct SDTProbeList_ {
	SDTProbe_t probe;
	struct SDTProbeList_ *next;
} SDTProbeList_t;

/* <errno.h> defines a macro with the name of a field. Programs may include both headers, and read
 * the field after an #undef. */
#pragma push_macro("errno")
#undef errno

typedef struct SDTProvider {
	char *name;
	SDTProbeList_t *probes; /* begins with the last added */
	SDTError_t errno;	/* error of the last failed call */
	char *error;		/* message of that error, or NULL */

	/* Read-only. Describe the library loaded last; NULL and -1 if none is loaded. */
	void *_handle;	 /* for dlsym with the names of probes; do not close it */
	char *_filename; /* a path for opening the library */
	int _memfd;	 /* -1 if the library is a file */
	MemFDOption_t _use_memfd;
} SDTProvider_t;

#pragma pop_macro("errno")

/* Returns NULL if memory runs out. A name must have 1 to 238 letters, digits and characters of
 * "_-./@#$+", which tracers do not confuse with their own syntax; providerLoad rejects any other
 * name. */
SDTProvider_t *providerInit(const char *name);

/* Puts libraries that are loaded from now on into files (the default) or into memory. Returns 1. */
int providerUseMemfd(SDTProvider_t *provider, const MemFDOption_t use_memfd);

/* Adds a probe with `argCount` arguments, whose types follow. Returns NULL with the provider's
 * `error` if the name is invalid or in use, or there are too many arguments or an unknown type.
 * New: allowed after a providerLoad; the next one loads the probe. */
SDTProbe_t *providerAddProbe(SDTProvider_t *provider, const char *name, int argCount, ...);

/* Makes the probes visible to tracers. Returns 0, or -1 with the provider's `errno` and `error`. */
int providerLoad(SDTProvider_t *provider);

/* Hides all probes from tracers until the next providerLoad. Returns 0, or -1 if the program has
 * closed `_handle`. */
int providerUnload(SDTProvider_t *provider);

/* Unloads the provider and frees it with its probes. */
void providerDestroy(SDTProvider_t *provider);

/* Fires with as many arguments as the probe was added with. Does nothing while no tracer is
 * attached. */
void probeFire(SDTProbe_t *probe, ...);

/* Returns 1 while a tracer is attached to the probe, 0 otherwise. New: reads the semaphore. */
int probeIsEnabled(SDTProbe_t *probe);

#ifdef __cplusplus
}
#endif

#endif
