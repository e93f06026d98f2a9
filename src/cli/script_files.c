#include "cli/script_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_DEPTH 16

static bool ends_with(const char *text, const char *end) {
    size_t len = strlen(text), end_len = strlen(end);
    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

bool sw_is_test_file(const char *path) {
    return ends_with(path, "_test.lua");
}

const char *sw_file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

char *sw_folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL   ? xstrdup(".")
           : slash == path ? xstrdup("/")
                           : xstrndup(path, (size_t)(slash - path));
}

void sw_files_add(sw_files *files, const char *path) {
    files->paths = xrealloc_array(files->paths, files->n + 1, sizeof(char *));
    files->paths[files->n++] = xstrdup(path);
}

void sw_files_release(sw_files *files) {
    for (size_t i = 0; i < files->n; i++) {
        free(files->paths[i]);
    }
    free(files->paths);
    *files = (sw_files){0};
}

static int by_path(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(sw_files *files) {
    if (files->n > 1) {
        qsort(files->paths, files->n, sizeof(char *), by_path);
    }
}

/* Calls `each` for what the folder holds, but hidden entries. -1 with errno. */
static int walk(const char *folder, void (*each)(const char *path, const struct stat *status, void *arg),
                void *arg) {
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return -1;
    }
    for (struct dirent *entry = NULL; (entry = readdir(dir)) != NULL;) {
        struct stat status;
        char *path = xasprintf("%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.' && stat(path, &status) == 0) {
            each(path, &status, arg);
        }
        free(path);
    }
    closedir(dir);
    return 0;
}

static void add_detector(const char *path, const struct stat *status, void *arg) {
    if (S_ISREG(status->st_mode) && ends_with(path, ".lua") && !sw_is_test_file(path)) {
        sw_files_add(arg, path);
    }
}

int sw_find_detectors(const char *scripts_dir, sw_files *out) {
    int rc = walk(scripts_dir, add_detector, out);
    sort(out);
    return rc;
}

typedef struct test_search {
    sw_files *out;
    unsigned depth;
} test_search;

static void add_tests(const char *path, const struct stat *status, void *arg) {
    test_search *search = arg;
    if (S_ISREG(status->st_mode) && sw_is_test_file(path)) {
        sw_files_add(search->out, path);
    } else if (S_ISDIR(status->st_mode) && search->depth < MAX_DEPTH) {
        test_search below = {.out = search->out, .depth = search->depth + 1};
        walk(path, add_tests, &below);
    }
}

int sw_find_tests(const char *path, sw_files *out) {
    struct stat status;
    if (stat(path, &status) != 0) {
        return -1;
    }
    if (!S_ISDIR(status.st_mode)) {
        sw_files_add(out, path);
        return 0;
    }
    char *folder = xstrndup(path, strlen(path) > 1 && ends_with(path, "/") ? strlen(path) - 1 : strlen(path));
    sw_files found = {0};
    test_search search = {.out = &found};
    int rc = walk(folder, add_tests, &search);
    sort(&found);
    for (size_t i = 0; i < found.n; i++) {
        sw_files_add(out, found.paths[i]);
    }
    sw_files_release(&found);
    free(folder);
    return rc;
}

/* Length of the UTF-8 sequence at `s`, 0 when it is none (RFC 3629). */
static size_t utf8_sequence(const unsigned char *s, size_t left) {
    static const struct {
        unsigned char first_low, first_high, second_low, second_high, len;
    } forms[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(forms); i++) {
        if (s[0] >= forms[i].first_low && s[0] <= forms[i].first_high) {
            bool good = forms[i].len <= left &&
                        (forms[i].len < 2 || (s[1] >= forms[i].second_low && s[1] <= forms[i].second_high));
            for (size_t at = 2; good && at < forms[i].len; at++) {
                good = (s[at] & 0xc0) == 0x80;
            }
            return good ? forms[i].len : 0;
        }
    }
    return 0;
}

static bool is_text(const char *data, size_t len) {
    for (size_t at = 0; at < len;) {
        size_t step = utf8_sequence((const unsigned char *)data + at, len - at);
        if (step == 0) {
            return false;
        }
        at += step;
    }
    return true;
}

char *sw_read_script(const char *path, char **error) {
    FILE *file = fopen(path, "re");
    char *text = NULL;
    *error = NULL;
    if (file == NULL) {
        *error = xasprintf("%s: cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    text = xmalloc(SW_SCRIPT_MAX + 1);
    size_t len = fread(text, 1, SW_SCRIPT_MAX + 1, file);
    if (ferror(file)) {
        *error = xasprintf("%s: cannot be read: %s", path, strerror(errno));
    } else if (len > SW_SCRIPT_MAX) {
        *error = xasprintf("%s: is larger than %zu bytes", path, SW_SCRIPT_MAX);
    } else if (len > 0 && text[0] == '\033') {
        *error = xasprintf("%s: is bytecode, which is refused", path);
    } else if (!is_text(text, len)) {
        *error = xasprintf("%s: must be UTF-8 text", path);
    } else {
        text[len] = '\0';
    }
    fclose(file);
    if (*error != NULL) {
        free(text);
        return NULL;
    }
    return xrealloc(text, len + 1);
}
