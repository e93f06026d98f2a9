/* "host:port" of the configuration. */
#include <stdlib.h>
#include <string.h>

#include "net/http_server_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *address = xstrndup((const char *)data, size);
    char *host = NULL;
    int port = -1;
    if (http_split_address(address, &host, &port)) {
        if (port < 0 || port > 65535 || (host != NULL && (*host == '\0' || strpbrk(host, "[]") != NULL))) {
            abort();
        }
        free(host);
    }
    free(address);
    return 0;
}
