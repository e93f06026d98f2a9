/* Watching folders. A folder that was replaced (a symbolic link that leads elsewhere now) is watched anew. */
#include "detectors/internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct watch {
    uv_fs_event_t handle;
    sw_watches *owner;
    char *folder;
    dev_t device;
    ino_t inode;
    bool wanted;
    struct watch *next;
} watch;

struct sw_watches {
    uv_loop_t *loop;
    void (*event)(void *arg);
    void *arg;
    watch *first;
};

static void on_event(uv_fs_event_t *handle, const char *file, int events, int status) {
    (void)file;
    (void)events;
    (void)status;
    const watch *w = handle->data;
    w->owner->event(w->owner->arg);
}

static void closed(uv_handle_t *handle) {
    watch *w = handle->data;
    free(w->folder);
    free(w);
}

static void add(sw_watches *watches, const char *folder, const struct stat *info) {
    watch *w = xcalloc(1, sizeof *w);
    w->owner = watches;
    w->folder = xstrdup(folder);
    w->device = info->st_dev;
    w->inode = info->st_ino;
    w->wanted = true;
    w->handle.data = w;
    uv_fs_event_init(watches->loop, &w->handle);
    if (uv_fs_event_start(&w->handle, on_event, folder, 0) != 0) {
        uv_close((uv_handle_t *)&w->handle, closed); /* the scan every 10 s does without */
        return;
    }
    w->next = watches->first;
    watches->first = w;
}

static watch *find(const sw_watches *watches, const char *folder, const struct stat *info) {
    for (watch *w = watches->first; w != NULL; w = w->next) {
        if (strcmp(w->folder, folder) == 0 && w->device == info->st_dev && w->inode == info->st_ino) {
            return w;
        }
    }
    return NULL;
}

static void drop_unwanted(sw_watches *watches) {
    watch **link = &watches->first;
    while (*link != NULL) {
        watch *w = *link;
        if (w->wanted) {
            link = &w->next;
        } else {
            *link = w->next;
            uv_close((uv_handle_t *)&w->handle, closed);
        }
    }
}

sw_watches *sw_watches_new(uv_loop_t *loop, void (*event)(void *arg), void *arg) {
    sw_watches *watches = xcalloc(1, sizeof *watches);
    *watches = (sw_watches){.loop = loop, .event = event, .arg = arg};
    return watches;
}

void sw_watches_set(sw_watches *watches, const char *const *folders, size_t n) {
    for (watch *w = watches->first; w != NULL; w = w->next) {
        w->wanted = false;
    }
    for (size_t i = 0; i < n; i++) {
        struct stat info;
        if (stat(folders[i], &info) != 0 || !S_ISDIR(info.st_mode)) {
            continue;
        }
        watch *known = find(watches, folders[i], &info);
        if (known != NULL) {
            known->wanted = true;
        } else {
            add(watches, folders[i], &info);
        }
    }
    drop_unwanted(watches);
}

void sw_watches_free(sw_watches *watches) {
    sw_watches_set(watches, NULL, 0);
    free(watches);
}
