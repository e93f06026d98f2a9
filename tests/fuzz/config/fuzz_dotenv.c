#include <string.h>

#include "config/dotenv.h"

static void entry(const char *name, const char *value, unsigned line, void *arg) {
    if (name[0] == '\0' || strchr(value, '\0') == NULL || line == 0) {
        __builtin_trap();
    }
    (void)arg;
}

static void mistake(unsigned line, const char *why, void *arg) {
    if (line == 0 || why[0] == '\0') {
        __builtin_trap();
    }
    (void)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sw_dotenv_handler handler = {.entry = entry, .mistake = mistake};
    sw_dotenv_parse((const char *)data, size, &handler);
    return 0;
}
