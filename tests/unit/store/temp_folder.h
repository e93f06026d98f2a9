/* A folder of its own for a test. */
#ifndef SW_TEST_TEMP_FOLDER_H
#define SW_TEST_TEMP_FOLDER_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base.h"

/* Caller removes it with remove_folder(), which also frees the name. */
static inline char *make_temp_folder(void) {
    const char *tmp = getenv("TMPDIR");
    char *folder = xasprintf("%s/spanwatch-test-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        abort();
    }
    return folder;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void remove_folder(char *folder) {
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

#endif
