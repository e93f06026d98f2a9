/* URLs from a configuration file or a script. What is redacted must be a URL without secrets, or nothing. */
#include <stdlib.h>
#include <string.h>

#include "net/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok) {
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *url = xstrndup((const char *)data, size);
    const char *wrong = sw_url_check(url);
    char *host = sw_url_host(url);
    char *redacted = sw_url_redact(url);
    need((wrong == NULL) == (host != NULL));
    need((wrong == NULL) == (strcmp(redacted, "(invalid URL)") != 0));
    if (wrong == NULL) {
        need(strpbrk(redacted, "?#") == NULL && sw_url_check(redacted) == NULL);
        char *again = sw_url_host(redacted);
        need(again != NULL && strcmp(again, host) == 0);
        free(again);
    }
    sw_buf encoded;
    sw_buf_init(&encoded, 3 * size + 1);
    need(sw_url_encode(&encoded, url) == 0);
    need(encoded.data == NULL || strpbrk(encoded.data, " &?#/+\"\r\n") == NULL);
    sw_buf_release(&encoded);
    free(url);
    free(host);
    free(redacted);
    return 0;
}
