/* Whatever a script requires, nothing outside of the scripts folder is read. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "detectors/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(const char *folder, const char *name, const char *text) {
    char *path = xasprintf("%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        abort();
    }
    fputs(text, file);
    fclose(file);
    free(path);
}

static const char *folder(void) {
    static char dir[] = "/tmp/spanwatch-fuzz-XXXXXX";
    static bool made;
    if (!made) {
        made = true;
        if (mkdtemp(dir) == NULL) {
            abort();
        }
        char *path = xasprintf("%s/scripts", dir);
        char *lib = xasprintf("%s/lib", path), *own = xasprintf("%s/own", path);
        if (mkdir(path, 0700) != 0 || mkdir(lib, 0700) != 0 || mkdir(own, 0700) != 0) {
            abort();
        }
        put(dir, "a.lua", "secret");
        put(lib, "a.lua", "fine");
        put(own, "b.lua", "fine");
        free(path);
        free(lib);
        free(own);
    }
    return dir;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *scripts = xasprintf("%s/scripts", folder());
    char *own = xasprintf("%s/own", scripts), *name = xstrndup((const char *)data, size), *message = NULL;
    sw_module module;
    if (sw_module_find(scripts, own, name, &module, &message) == 0 && strcmp(module.source, "fine") != 0) {
        abort();
    }
    sw_module_release(&module);
    free(message);
    free(name);
    free(own);
    free(scripts);
    return 0;
}
