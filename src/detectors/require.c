#include "detectors/require.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, char **source, size_t *len) {
    size_t allocated = 8192, used = 0;
    char *text = xmalloc(allocated);
    for (;;) {
        ssize_t got = read(fd, text + used, allocated - used - 1);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 || used + (size_t)got > SW_SCRIPT_MAX_BYTES) {
            int error = got < 0 ? errno : EFBIG;
            free(text);
            return error;
        }
        if (got == 0) {
            break;
        }
        used += (size_t)got;
        if (allocated - used < 4096) {
            allocated *= 2;
            text = xrealloc(text, allocated);
        }
    }
    text[used] = '\0';
    *source = text;
    *len = used;
    return 0;
}

/* O_NONBLOCK: a FIFO in the folder must not hold up the loop. */
static int read_file(const char *path, int flags, char **source, size_t *len) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
    if (fd < 0) {
        return errno;
    }
    struct stat info;
    int error = fstat(fd, &info) != 0 ? errno : !S_ISREG(info.st_mode) ? EINVAL : 0;
    if (error == 0) {
        error = read_all(fd, source, len);
    }
    close(fd);
    return error;
}

int sw_script_read(const char *path, char **source, size_t *len) {
    return read_file(path, 0, source, len);
}

void sw_module_release(sw_module *module) {
    free(module->name);
    free(module->path);
    free(module->source);
    *module = (sw_module){0};
}

/* "a.b" and "a/b" are the same: a/b.lua. Caller frees; NULL when it is no name. */
static char *file_of(const char *name) {
    size_t len = strlen(name);
    if (len == 0 || len > SW_MODULE_NAME_MAX ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") != len) {
        return NULL;
    }
    char *file = xasprintf("%s.lua", name);
    for (size_t i = 0; i < len; i++) {
        file[i] = file[i] == '.' ? '/' : file[i];
    }
    bool empty_part = file[0] == '/' || file[len - 1] == '/' || strstr(file, "//") != NULL;
    if (empty_part) {
        free(file);
        return NULL;
    }
    return file;
}

static bool beneath(const char *path, const char *root) {
    size_t len = strlen(root);
    return strncmp(path, root, len) == 0 && (path[len] == '/' || (len > 0 && root[len - 1] == '/'));
}

/* The path is resolved first and opened without following links then, so that what is read is what was
 * checked. */
static int read_beneath(const char *root, const char *folder, const char *file, sw_module *out) {
    char *wanted = xasprintf("%s/%s", folder, file);
    char *real_root = realpath(root, NULL);
    char *real = realpath(wanted, NULL);
    int error = real_root == NULL || real == NULL ? ENOENT : 0;
    if (error == 0 && !beneath(real, real_root)) {
        error = EPERM;
    }
    if (error == 0) {
        error = read_file(real, O_NOFOLLOW, &out->source, &out->len);
    }
    free(real);
    free(real_root);
    free(wanted);
    return error;
}

/* What people call the file: beneath the scripts folder without that folder. */
static char *shown_path(const char *scripts_dir, const char *folder, const char *file) {
    size_t len = scripts_dir != NULL ? strlen(scripts_dir) : 0;
    if (len > 0 && strncmp(folder, scripts_dir, len) == 0 && (folder[len] == '/' || folder[len] == '\0')) {
        folder += len;
        folder += strspn(folder, "/");
    }
    return folder[0] == '\0' ? xstrdup(file) : xasprintf("%s/%s", folder, file);
}

static int try_folder(const char *scripts_dir, const char *root, const char *folder, const char *file,
                      sw_module *out) {
    int error = read_beneath(root, folder, file, out);
    if (error == 0) {
        out->path = shown_path(scripts_dir, folder, file);
        sw_sha256_hex(out->source, out->len, out->hash);
    }
    return error;
}

static bool inside(const char *dir, const char *scripts_dir) {
    char *real_dir = realpath(dir, NULL), *real_root = realpath(scripts_dir, NULL);
    bool yes = real_dir != NULL && real_root != NULL &&
               (strcmp(real_dir, real_root) == 0 || beneath(real_dir, real_root));
    free(real_dir);
    free(real_root);
    return yes;
}

int sw_module_find(const char *scripts_dir, const char *dir, const char *name, sw_module *out,
                   char **message) {
    *out = (sw_module){.name = xstrndup(name, SW_MODULE_NAME_MAX)};
    char *file = file_of(name);
    if (file == NULL) {
        *message = xstrdup("a module's name is made of letters, digits, _ and -, joined by . or /");
        return -1;
    }
    int error = ENOENT;
    if (scripts_dir != NULL) {
        char *lib = xasprintf("%s/lib", scripts_dir);
        error = try_folder(scripts_dir, scripts_dir, lib, file, out);
        free(lib);
    }
    if ((error == ENOENT || error == ENOTDIR) && dir != NULL) {
        const char *root = scripts_dir != NULL && inside(dir, scripts_dir) ? scripts_dir : dir;
        error = try_folder(scripts_dir, root, dir, file, out);
    }
    if (error != 0) {
        const char *why = error == EPERM   ? "it lies outside of the scripts folder"
                          : error == EFBIG ? "it is larger than 1 MiB"
                          : error == ENOENT || error == ENOTDIR
                              ? "no such file in lib, or beside the detector"
                          : error == EINVAL ? "it is not a file"
                                            : strerror(error);
        *message = xasprintf("%s: %s", file, why);
    }
    free(file);
    return error == 0 ? 0 : -1;
}
