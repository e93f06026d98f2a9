#include "cli/cli.h"

static int run(const sw_options *options) {
    (void)options;
    sw_buf out;
    sw_buf_init(&out, 4096);
    sw_buf_printf(&out, "spanwatch %s (built with %s)\n", SW_VERSION, SW_BUILT_WITH);
    int rc = sw_cli_print(&out);
    sw_buf_release(&out);
    return rc;
}

const sw_verb sw_verb_version = {
    .name = "version",
    .summary = "print the version, and those of the libraries",
    .doc = "One line.\n",
    .examples = "  spanwatch version\n",
    .run = run,
};
