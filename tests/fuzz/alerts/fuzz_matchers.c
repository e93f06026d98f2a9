/* A list of matchers that is read can be written, read again and used; nothing takes memory or time for ever.
 */
#include <stdlib.h>
#include <string.h>

#include "alerts/matchers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_again(const sw_matchers *matchers) {
    sw_buf text;
    char *why = NULL;
    sw_matchers again = {0};
    sw_buf_init(&text, 1 << 24);
    sw_matchers_print(matchers, &text);
    if (sw_matchers_parse(&again, text.data != NULL ? text.data : "", &why) != 0 ||
        !sw_matchers_equal(matchers, &again)) {
        abort();
    }
    sw_matchers_release(&again);
    sw_buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = xstrndup((const char *)data, size);
    char *why = NULL;
    sw_matchers matchers = {0};
    if (sw_matchers_parse(&matchers, text, &why) == 0) {
        read_again(&matchers);
        for (size_t i = 0; i < matchers.n; i++) {
            sw_matcher_matches(&matchers.items[i], text);
        }
        sw_matchers_match_nothing(&matchers);
    } else if (why == NULL) {
        abort();
    }
    free(why);
    sw_matchers_release(&matchers);
    free(text);
    return 0;
}
