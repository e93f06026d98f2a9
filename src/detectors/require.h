/*
 * Files of scripts: reading one, and what `require` may find.
 *
 * A module is looked for in scripts_dir/lib and then in the detector's own folder, never elsewhere: names are
 * words of [A-Za-z0-9_-] joined by '.' or '/', and what a symbolic link leads to must still lie beneath the
 * scripts folder (or beneath the own folder, when that is outside of it).
 */
#ifndef SW_DETECTORS_REQUIRE_H
#define SW_DETECTORS_REQUIRE_H

#include "base/base.h"

#define SW_SCRIPT_MAX_BYTES ((size_t)1 << 20)
#define SW_MODULE_NAME_MAX 128

/* Reads a regular file (symbolic links are followed) of at most SW_SCRIPT_MAX_BYTES. 0 with the text, NUL
 * after it (caller frees); else an errno (EFBIG: too large). */
int sw_script_read(const char *path, char **source, size_t *len);

/* A module as it was found; or as it was not (hash ""). */
typedef struct sw_module {
    char *name; /* as it was required */
    char *path; /* for people: "lib/statistics.lua" */
    char *source;
    size_t len;
    char hash[65];
    int64_t missing_since_ns; /* for whoever looks again; 0: it is there */
} sw_module;
void sw_module_release(sw_module *module);

/* `dir`: the own folder, as a path; NULL for none. 0, or -1 with *message (caller frees): then only `name` of
 * *out is set. */
int sw_module_find(const char *scripts_dir, const char *dir, const char *name, sw_module *out,
                   char **message);

#endif
