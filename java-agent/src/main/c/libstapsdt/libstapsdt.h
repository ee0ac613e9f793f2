/* SPDX-License-Identifier: Apache-2.0
 *
 * The interface of libstapsdt (github.com/linux-usdt/libstapsdt): names, numbers and the layout of
 * its structures are the same, so that programs and bindings made for it compile and run unchanged.
 * What is more than there is marked "new". All functions but providerDestroy may be called by any
 * thread at any time; providerDestroy by one, when no other uses the provider or its probes any
 * more.
 */
#ifndef _LIBSTAPSDT_H
#define _LIBSTAPSDT_H

#ifdef __cplusplus
extern "C" {
#endif

/* As many types as an SDTProbe_t has room for. */
#define MAX_ARGUMENTS 6

/* New: as many arguments as a probe may have. */
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
	/* New. probeFire takes a double for the first two; tracers see raw IEEE 754 bits in 4 and
	 * in 8 bytes. The third is a char * to NUL-terminated UTF-8, which tracers see as a uint64.
	 */
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
	ArgType_t argFmt[MAX_ARGUMENTS]; /* of the first six arguments */
	void *_fire;			 /* the stub; NULL while the probe is not loaded */
	struct SDTProvider *provider;
	int argCount;
} SDTProbe_t;

typedef struct SDTProbeList_ {
	SDTProbe_t probe;
	struct SDTProbeList_ *next;
} SDTProbeList_t;

/* <errno.h> makes a macro of the name of a field here; whoever has included it can still include
 * this, and reads the field after an #undef. */
#pragma push_macro("errno")
#undef errno

typedef struct SDTProvider {
	char *name;
	SDTProbeList_t *probes; /* the last added first */
	SDTError_t errno;	/* of the last call that failed */
	char *error;		/* a sentence about it, or NULL */

	/* For reading alone. Of the library loaded last, NULL and -1 where none is: */
	void *_handle;	 /* dlopen's, for dlsym with the names of probes; not to be closed */
	char *_filename; /* a path by which it can be opened */
	int _memfd;	 /* or -1, where it is a file */
	MemFDOption_t _use_memfd;
} SDTProvider_t;

#pragma pop_macro("errno")

/* NULL when memory runs out. A name that tracers could not tell from their own syntax (1 to 238
 * letters, digits and characters of "_-./@#$+" are fine) is refused by providerLoad. */
SDTProvider_t *providerInit(const char *name);

/* Where libraries that are loaded from now on lie: in a file, as they do if nothing is said, or in
 * memory. Returns 1. */
int providerUseMemfd(SDTProvider_t *provider, const MemFDOption_t use_memfd);

/* Adds a probe with `argCount` arguments, whose types follow. NULL with the provider's `error`: a
 * name as above or used already, too many arguments, no such type. New: also after a providerLoad;
 * the next one loads it. */
SDTProbe_t *providerAddProbe(SDTProvider_t *provider, const char *name, int argCount, ...);

/* Lets tracers find the probes. Returns 0, or -1 with the provider's `errno` and `error`. */
int providerLoad(SDTProvider_t *provider);

/* Takes all probes away from tracers; providerLoad brings them back. Returns 0, or -1 where the
 * program has closed `_handle`. */
int providerUnload(SDTProvider_t *provider);

/* Unloads the provider and frees it with its probes. */
void providerDestroy(SDTProvider_t *provider);

/* Fires with as many arguments as the probe was added with; does nothing while no tracer has
 * attached to it. */
void probeFire(SDTProbe_t *probe, ...);

/* 1 while a tracer has attached to the probe, 0 otherwise. New: it is the probe's semaphore. */
int probeIsEnabled(SDTProbe_t *probe);

#ifdef __cplusplus
}
#endif

#endif
