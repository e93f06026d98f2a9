/*
 * Which certificate authorities the system trusts.
 *
 * They come as one bundle and, on most systems, as a folder in which OpenSSL finds an authority by the hash
 * of its name. Parsing the bundle stops the loop for tens of milliseconds and takes more than a MiB; the
 * folder costs next to nothing, but an administrator may have added an authority to the bundle alone. So the
 * folder comes first, and a server that it cannot vouch for is asked again with the bundle; once that has
 * helped, the bundle is used from the start.
 */
#include "net/http_client_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

/* "0a775a30.0" */
static bool is_hashed_name(const char *name) {
    size_t digits = 0;
    while (isxdigit((unsigned char)name[digits])) {
        digits++;
    }
    return digits == 8 && name[8] == '.' && isdigit((unsigned char)name[9]);
}

static bool is_hashed_folder(const char *path) {
    DIR *folder = path != NULL ? opendir(path) : NULL;
    if (folder == NULL) {
        return false;
    }
    bool found = false;
    for (struct dirent *entry = readdir(folder); entry != NULL && !found; entry = readdir(folder)) {
        found = is_hashed_name(entry->d_name);
    }
    closedir(folder);
    return found;
}

void http_trust_set(http_trust *trust, const char *folder, const char *bundle) {
    http_trust_release(trust);
    trust->folder = is_hashed_folder(folder) ? xstrdup(folder) : NULL;
    trust->bundle = xstrdup(bundle);
    trust->bundle_needed = trust->folder == NULL;
}

void http_trust_init(http_trust *trust) {
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    *trust = (http_trust){0};
    http_trust_set(trust, info->capath, info->cainfo);
}

void http_trust_release(http_trust *trust) {
    free(trust->folder);
    free(trust->bundle);
    *trust = (http_trust){0};
}

bool http_trust_apply(const http_trust *trust, CURL *easy, bool with_bundle) {
    bool by_folder = !with_bundle && !trust->bundle_needed;
    curl_easy_setopt(easy, CURLOPT_CAPATH, by_folder ? trust->folder : NULL);
    curl_easy_setopt(easy, CURLOPT_CAINFO, by_folder ? NULL : trust->bundle);
    return by_folder;
}
