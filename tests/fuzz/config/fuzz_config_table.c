/* What a worker that runs a hostile config file may say to the host: any text at all. */
#include <stdlib.h>

#include "config/config.h"

typedef struct input {
    const char *data;
    size_t len;
} input;

static char *evaluate(const sw_config_file *file, char **error, void *arg) {
    const input *in = arg;
    (void)file;
    (void)error;
    return xstrndup(in->data, in->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {.data = size > 0 ? (const char *)data : "", .len = size};
    sw_config_sources sources = {.config_path = "fuzz.lua", .evaluate = evaluate, .evaluate_arg = &in};
    sw_buf mistakes, out;
    sw_buf_init(&mistakes, (size_t)1 << 16);
    sw_buf_init(&out, (size_t)1 << 16);
    sw_config config;
    sw_config_load(&config, &sources, &mistakes);
    sw_config_print(&config, &out);
    free(sw_config_for_detector(&config, "detect"));
    sw_config_release(&config);
    sw_buf_release(&mistakes);
    sw_buf_release(&out);
    return 0;
}
