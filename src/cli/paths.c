#include "cli/paths.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *sw_path_of_program(void) {
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    if (len <= 0) {
        return xstrdup(".");
    }
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    return slash == path ? xstrdup("/") : xstrndup(path, slash != NULL ? (size_t)(slash - path) : 0);
}

/* The first of the folders in which `name` can be accessed, or the last; without links and "..". */
static char *first_with(const char *const *folders, size_t n, const char *name, int mode) {
    const char *chosen = folders[n - 1];
    for (size_t i = n; i-- > 0;) {
        char *file = xasprintf("%s/%s", folders[i], name);
        chosen = access(file, mode) == 0 ? folders[i] : chosen;
        free(file);
    }
    char *real = realpath(chosen, NULL);
    char *folder = xstrdup(real != NULL ? real : chosen);
    free(real);
    return folder;
}

char *sw_path_worker(const char *setting, const char *program_dir) {
    if (setting[0] != '\0') {
        return xstrdup(setting);
    }
    char *in_prefix = xasprintf("%s/../libexec/spanwatch", program_dir);
    const char *folders[] = {program_dir, in_prefix, SW_LIBEXEC_DIR};
    char *folder = first_with(folders, SW_ARRAY_LEN(folders), "spanwatch-worker", X_OK);
    char *path = xasprintf("%s/spanwatch-worker", folder);
    free(folder);
    free(in_prefix);
    return path;
}

char *sw_path_scripts(const char *setting, const char *program_dir) {
    if (setting[0] != '\0') {
        return xstrdup(setting);
    }
    char *in_tree = xasprintf("%s/../scripts", program_dir);
    char *in_prefix = xasprintf("%s/../share/spanwatch/scripts", program_dir);
    const char *folders[] = {in_tree, in_prefix, SW_DATA_DIR "/scripts"};
    char *folder = first_with(folders, SW_ARRAY_LEN(folders), "detect.lua", R_OK);
    free(in_tree);
    free(in_prefix);
    return folder;
}

char *sw_path_storage(const char *setting, const char *state_directory) {
    if (setting[0] != '\0') {
        return xstrdup(setting);
    }
    if (state_directory != NULL && state_directory[0] != '\0') {
        return xstrndup(state_directory, strcspn(state_directory, ":"));
    }
    return xstrdup("data");
}
