/* What a text must look like, by the type of its setting and, where the type does not say enough, by its
 * name. */
#ifndef SW_CONFIG_CHECKS_H
#define SW_CONFIG_CHECKS_H

#include "config/settings.h"

/* NULL when the text is fine; else what it must be (caller frees). */
char *sw_check_text(const sw_setting *setting, const char *text);
/* The same for the `number`th item (from 1) of a list; `before` are the n items before it. */
char *sw_check_item(const sw_setting *setting, const char *item, size_t number, const char *const *before,
                    size_t n);

/* What settings must be for each other. Calls `say` for each mistake with the name of the setting to look at.
 */
void sw_check_together(const sw_config *config, void (*say)(const char *env, const char *why, void *arg),
                       void *arg);

#endif
