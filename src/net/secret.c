#include "net/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct secret {
    char *path;
    char *text;
    size_t len;
    struct stat seen;
    bool settled; /* the file was old enough when it was read for its times to tell of every change */
} secret;

struct sw_secrets {
    secret entries[SW_SECRETS_MAX];
    size_t n;
    size_t next_victim;
};

sw_secrets *sw_secrets_new(void) {
    return xcalloc(1, sizeof(sw_secrets));
}

static void wipe(secret *entry) {
    if (entry->text != NULL) {
        explicit_bzero(entry->text, entry->len);
    }
    free(entry->text);
    entry->text = NULL;
    entry->len = 0;
}

void sw_secrets_free(sw_secrets *secrets) {
    if (secrets == NULL) {
        return;
    }
    for (size_t i = 0; i < secrets->n; i++) {
        wipe(&secrets->entries[i]);
        free(secrets->entries[i].path);
    }
    free(secrets);
}

static bool same_time(struct timespec a, struct timespec b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool unchanged(const secret *entry, const struct stat *now) {
    const struct stat *seen = &entry->seen;
    return entry->text != NULL && entry->settled && seen->st_dev == now->st_dev &&
           seen->st_ino == now->st_ino && seen->st_size == now->st_size &&
           same_time(seen->st_mtim, now->st_mtim) && same_time(seen->st_ctim, now->st_ctim);
}

/* Two writes within one tick of the kernel's clock have the same time. */
static bool is_settled(const struct stat *info) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec - info->st_ctim.tv_sec > 2 || now.tv_sec < info->st_ctim.tv_sec;
}

static secret *find_entry(sw_secrets *secrets, const char *path) {
    for (size_t i = 0; i < secrets->n; i++) {
        if (strcmp(secrets->entries[i].path, path) == 0) {
            return &secrets->entries[i];
        }
    }
    secret *entry = NULL;
    if (secrets->n < SW_SECRETS_MAX) {
        entry = &secrets->entries[secrets->n++];
    } else {
        entry = &secrets->entries[secrets->next_victim++ % SW_SECRETS_MAX];
        wipe(entry);
        free(entry->path);
    }
    *entry = (secret){.path = xstrdup(path)};
    return entry;
}

/* Reads at most one byte more than the limit; -1 with errno. */
static ssize_t read_all(int fd, char *out, size_t size) {
    size_t used = 0;
    while (used < size) {
        ssize_t got = read(fd, out + used, size - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -1;
        }
        if (got == 0) {
            break;
        }
        used += (size_t)got;
    }
    return (ssize_t)used;
}

static size_t without_newline(const char *text, size_t len) {
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        len--;
    }
    return len;
}

/* NULL when `fd` was read into the entry, else what is wrong. */
static const char *load(secret *entry, int fd, const struct stat *info) {
    char *text = xmalloc(SW_SECRET_MAX + 1);
    ssize_t got = read_all(fd, text, SW_SECRET_MAX + 1);
    const char *wrong = NULL;
    size_t len = got > 0 ? without_newline(text, (size_t)got) : 0;
    if (got < 0) {
        wrong = strerror(errno);
    } else if ((size_t)got > SW_SECRET_MAX) {
        wrong = "it is larger than 64 KiB";
    } else if (len == 0) {
        wrong = "it is empty";
    } else {
        entry->text = xstrndup("", 0);
        entry->text = xrealloc(entry->text, len + 1);
        memcpy(entry->text, text, len);
        entry->text[len] = '\0';
        entry->len = len;
        entry->seen = *info;
        entry->settled = is_settled(info);
    }
    explicit_bzero(text, SW_SECRET_MAX + 1);
    free(text);
    return wrong;
}

const char *sw_secrets_get(sw_secrets *secrets, const char *path, size_t *len, char error[256]) {
    secret *entry = find_entry(secrets, path);
    const char *wrong = NULL;
    struct stat info;
    /* O_NONBLOCK: opening a named pipe must not wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &info) != 0) {
        wrong = strerror(errno);
    } else if (!S_ISREG(info.st_mode)) {
        wrong = "it is not a regular file";
    } else if (!unchanged(entry, &info)) {
        wipe(entry);
        wrong = load(entry, fd, &info);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (wrong != NULL) {
        wipe(entry);
        snprintf(error, 256, "cannot use secret file %s: %s", path, wrong);
        return NULL;
    }
    if (len != NULL) {
        *len = entry->len;
    }
    return entry->text;
}

bool sw_secret_equal(const char *a, size_t a_len, const char *b, size_t b_len) {
    if (a_len != b_len) {
        return false;
    }
    volatile unsigned char difference = 0;
    for (size_t i = 0; i < a_len; i++) {
        difference |= (unsigned char)a[i] ^ (unsigned char)b[i];
    }
    return difference == 0;
}
