/* What a script adds to a URL: whatever is taken stays at the host and beneath the path, as libcurl reads it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/url_suffix.h"
#include "net/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok) {
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const urls[] = {"https://user:pw@host:8443/base/path", "http://host",
                                       "http://host/base/?q=1#f"};
    char *suffix = xstrndup((const char *)data, size);
    if (sw_url_suffix_check((const char *)data, size) != NULL) {
        free(suffix);
        return 0;
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(urls); i++) {
        char *joined = sw_url_with_suffix(urls[i], suffix);
        char *host = sw_url_host(urls[i]), *joined_host = sw_url_host(joined),
             *redacted = sw_url_redact(joined);
        need(joined_host != NULL && strcmp(host, joined_host) == 0);
        const char *path = strchr(strstr(redacted, "://") + 3, '/');
        need(path != NULL && strncmp(path + (strstr(urls[i], "/base") != NULL ? 5 : 0),
                                     i == 0 ? "/path/" : "/", i == 0 ? 6 : 1) == 0);
        free(joined);
        free(host);
        free(joined_host);
        free(redacted);
    }
    free(suffix);
    return 0;
}
