/*
 * The sources: which there are, and how each of them is.
 *
 * Tempo at its default address may not be there at all, where spans are received over OTLP: as long as it was
 * neither set nor ever heard of, its absence is no trouble (`optional`). Once it has answered it counts, also
 * after a restart.
 */
#include "agent/agent_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"
#include "net/url.h"
#include "sources/otlp/otlp_source.h"
#include "sources/tempo/tempo.h"
#include "telemetry/log.h"

#define EXIT_CONFIG 78
#define STEP_MAX_S 30
#define SPANS_PER_REQUEST 200000

/* ---- opening ---- */

/* The list of headers belongs to the configuration, which outlives the agent. */
static sw_http_profile tempo_profile(const sw_config *config) {
    return (sw_http_profile){
        .basic_auth_file = config->tempo_basic_auth_file[0] ? config->tempo_basic_auth_file : NULL,
        .bearer_token_file = config->tempo_bearer_token_file[0] ? config->tempo_bearer_token_file : NULL,
        .ca_file = config->tempo_ca_file[0] ? config->tempo_ca_file : NULL,
        .client_cert_file = config->tempo_client_cert_file[0] ? config->tempo_client_cert_file : NULL,
        .client_key_file = config->tempo_client_key_file[0] ? config->tempo_client_key_file : NULL,
        .headers = (const char *const *)config->tempo_headers.items,
        .insecure_tls = config->tempo_alert_insecure_tls,
    };
}

static int64_t step_s(const sw_config *config) {
    int64_t interval = config->tempo_alert_interval_secs;
    return interval < STEP_MAX_S ? interval : STEP_MAX_S;
}

static int64_t lookback_s(const sw_config *config) {
    int64_t step = step_s(config);
    return (config->tempo_lookback_window_secs + step - 1) / step * step;
}

static bool is_set(const sw_config *config, const char *name) {
    const sw_setting *setting = sw_setting_find(name, SW_NAME_ENV);
    return !sw_streq(config->origins[setting - sw_settings], "default");
}

static sw_source *open_tempo(sw_agent *agent, bool optional) {
    const sw_config *config = agent->config;
    sw_tempo_options options = {
        .url = config->tempo_url,
        .profile = tempo_profile(config),
        .tenant = config->tempo_tenant[0] ? config->tempo_tenant : NULL,
        .step_s = step_s(config),
        .lookback_s = lookback_s(config),
        .settle_s = config->tempo_settle_secs,
        .max_catch_up_s = config->tempo_max_catch_up_secs,
        .interval_s = config->tempo_alert_interval_secs,
        .query_timeout_ms = config->tempo_query_timeout_ms,
        .query_timeout_max_ms = config->tempo_query_timeout_max_ms,
        .search_limit = (unsigned)config->tempo_search_limit,
        .max_extra_queries = (unsigned)config->tempo_max_extra_queries,
        .max_body = (size_t)config->tempo_max_body_bytes,
        .optional = optional,
    };
    return sw_tempo_new(&agent->loop, agent->clock, agent->http, agent->metrics, &options);
}

static sw_source *open_otlp(sw_agent *agent) {
    const sw_config *config = agent->config;
    sw_otlp_source_options options = {
        .step_s = step_s(config),
        .lookback_s = lookback_s(config),
        .settle_s = config->otlp_settle_secs,
        .max_bytes = (size_t)config->otlp_memory_mb << 20,
        .max_series = (size_t)config->otlp_max_series,
        .max_spans = SPANS_PER_REQUEST,
        .from_first_span = config->tempo_enabled,
    };
    return sw_otlp_source_new(&agent->loop, agent->clock, agent->metrics, &options);
}

void sw_feeds_open(sw_agent *agent, bool receives) {
    const sw_config *config = agent->config;
    sw_feed *tempo = &agent->feeds[SW_SOURCE_TEMPO], *otlp = &agent->feeds[SW_SOURCE_OTLP];
    for (int i = 0; i < SW_SOURCES; i++) {
        agent->feeds[i] = (sw_feed){.agent = agent, .number = i};
    }
    tempo->settle_s = config->tempo_settle_secs;
    otlp->settle_s = config->otlp_settle_secs;
    if (receives && (config->otlp_http_address[0] != '\0' || config->otlp_grpc_address[0] != '\0')) {
        otlp->source = open_otlp(agent);
    }
    if (config->tempo_enabled) {
        tempo->optional = otlp->source != NULL && !is_set(config, "TEMPO_URL");
        tempo->source = open_tempo(agent, tempo->optional);
    }
    if (tempo->source == NULL && otlp->source == NULL) {
        sw_log(SW_LOG_WARN, "no source is enabled: nothing is watched", "setting",
               "TEMPO_ENABLED=false and no SPANWATCH_OTLP_HTTP_ADDRESS or SPANWATCH_OTLP_GRPC_ADDRESS", NULL);
    }
}

static void restore_source(const char *source, int64_t origin_s, int64_t watermark_s, void *arg) {
    sw_agent *agent = arg;
    int number = sw_source_named(source);
    sw_feed *feed = number >= 0 ? &agent->feeds[number] : NULL;
    if (feed != NULL && feed->source != NULL) {
        feed->answered = true;
        /* Windows reach back by the lookback: their older buckets are needed again. */
        feed->source->ops->restore(feed->source, origin_s, watermark_s - sw_judge_lookback_s(feed));
    }
}

void sw_feeds_restore(sw_agent *agent) {
    sw_store_each_source(agent->store, restore_source, agent);
}

/* Whoever reaches the address could make up traffic, and alerts. */
static void warn_if_open(const sw_agent *agent) {
    const sw_config *config = agent->config;
    bool local = (agent->otlp_receiver == NULL || sw_otlp_receiver_is_local(agent->otlp_receiver)) &&
                 (agent->otlp_grpc == NULL || sw_otlp_grpc_is_local(agent->otlp_grpc));
    if (!local && config->otlp_bearer_token_file[0] == '\0' && config->otlp_tls_client_ca_file[0] == '\0') {
        sw_log(SW_LOG_WARN,
               "anybody who reaches this machine can send spans: set SPANWATCH_OTLP_BEARER_TOKEN_FILE, or "
               "receive on a loopback address",
               "http", config->otlp_http_address, "grpc", config->otlp_grpc_address, NULL);
    }
}

/* False when the address was chosen, or a certificate for it, and so is needed. Another program often has the
 * default one, as a collector does: that is no reason not to watch what else there is. */
static bool may_go_without(const sw_agent *agent, const char *address, const char *setting,
                           const char *error) {
    if (is_set(agent->config, setting) || agent->config->otlp_tls_cert_file[0] != '\0') {
        fprintf(stderr,
                "spanwatch: cannot receive spans on %s: %s\nChoose another address with %s; an empty one is "
                "nowhere.\n",
                address, error, setting);
        return false;
    }
    sw_log(SW_LOG_WARN, "no spans are received on a default address: it cannot be used", "address", address,
           "reason", error, "advice", "choose another one, or an empty one for none", "setting", setting,
           NULL);
    return true;
}

static int close_otlp(sw_agent *agent) {
    sw_feed *otlp = &agent->feeds[SW_SOURCE_OTLP], *tempo = &agent->feeds[SW_SOURCE_TEMPO];
    otlp->source->ops->free(otlp->source);
    otlp->source = NULL;
    tempo->optional = false;
    if (tempo->source == NULL) {
        fprintf(stderr,
                "spanwatch: nothing can be watched: TEMPO_ENABLED is false, and spans cannot be received. "
                "Choose other addresses with SPANWATCH_OTLP_HTTP_ADDRESS and "
                "SPANWATCH_OTLP_GRPC_ADDRESS.\n");
        return EXIT_CONFIG;
    }
    return 0;
}

static int listen_for_spans(sw_agent *agent, sw_source *source) {
    const sw_config *config = agent->config;
    const sw_tls_files tls = {.cert_file = config->otlp_tls_cert_file,
                              .key_file = config->otlp_tls_key_file,
                              .ca_file = config->otlp_tls_client_ca_file};
    sw_otlp_receiver_options options = {.address = config->otlp_http_address,
                                        .max_body = (size_t)config->otlp_max_body_bytes,
                                        .tls = tls.cert_file[0] != '\0' ? &tls : NULL,
                                        .bearer_token_file = config->otlp_bearer_token_file};
    char *error = NULL;
    bool go_on = true;
    if (options.address[0] != '\0') {
        agent->otlp_receiver = sw_otlp_receiver_new(&agent->loop, &options, source, agent->metrics, &error);
        go_on = agent->otlp_receiver != NULL ||
                may_go_without(agent, options.address, "SPANWATCH_OTLP_HTTP_ADDRESS", error);
    }
    free(error);
    error = NULL;
    options.address = config->otlp_grpc_address;
    if (go_on && options.address[0] != '\0') {
        agent->otlp_grpc = sw_otlp_grpc_new(&agent->loop, &options, source, agent->metrics, &error);
        go_on = agent->otlp_grpc != NULL ||
                may_go_without(agent, options.address, "SPANWATCH_OTLP_GRPC_ADDRESS", error);
    }
    free(error);
    return go_on ? 0 : EXIT_CONFIG;
}

int sw_feeds_receive(sw_agent *agent) {
    sw_source *source = agent->feeds[SW_SOURCE_OTLP].source;
    if (source == NULL) {
        return 0;
    }
    int result = listen_for_spans(agent, source);
    if (result == 0 && agent->otlp_receiver == NULL && agent->otlp_grpc == NULL) {
        return close_otlp(agent);
    }
    warn_if_open(agent);
    return result;
}

void sw_feeds_free(sw_agent *agent) {
    free(agent->unfed);
    for (int i = 0; i < SW_SOURCES; i++) {
        sw_feed *feed = &agent->feeds[i];
        if (feed->source != NULL) {
            feed->source->ops->free(feed->source);
            feed->source = NULL;
        }
        free(feed->last_poll_reason);
        feed->last_poll_reason = NULL;
    }
}

/* ---- what detectors ask for ---- */

/* Said once for each version of a detector. */
void sw_feeds_tell_unfed(void *arg) {
    sw_agent *agent = arg;
    sw_buf unfed;
    sw_buf_init(&unfed, (size_t)1 << 20);
    for (size_t i = 0; i < sw_detectors_count(agent->detectors); i++) {
        const sw_detector *detector = sw_detectors_at(agent->detectors, i);
        bool fed = false;
        for (int number = 0; number < SW_SOURCES; number++) {
            fed |= agent->feeds[number].source != NULL && sw_detector_watches(detector, number);
        }
        if (fed) {
            continue;
        }
        char *line = xasprintf("%s %s\n", sw_detector_name(detector), sw_detector_hash(detector));
        if (agent->unfed == NULL || strstr(agent->unfed, line) == NULL) {
            sw_log(SW_LOG_WARN, "a detector is never called: the sources that it asks for are not enabled",
                   "detector", sw_detector_name(detector), NULL);
        }
        sw_buf_append_str(&unfed, line);
        free(line);
    }
    free(agent->unfed);
    agent->unfed = sw_buf_steal(&unfed, NULL);
}

/* ---- how they are ---- */

bool sw_feed_counts(const sw_feed *feed) {
    return feed->source != NULL && (!feed->optional || feed->answered);
}

sw_source *sw_feeds_askable(sw_agent *agent, int number) {
    const sw_feed *feed = &agent->feeds[number];
    return sw_feed_counts(feed) && feed->source->ops->query != NULL ? feed->source : NULL;
}

/* An answer to no question: away, or every one refused. */
bool sw_feed_failed(const sw_feed *feed) {
    const sw_poll_result *poll = &feed->last_poll;
    return !poll->reachable || (!poll->counts_ok && !poll->traces_ok && !poll->in_part);
}

bool sw_feed_is_away(const sw_feed *feed) {
    int64_t limit = feed->agent->config->source_blind_ticks;
    return sw_feed_counts(feed) && limit > 0 && feed->polls_failed >= limit;
}

char *sw_feeds_trouble(const sw_agent *agent) {
    for (int i = 0; i < SW_SOURCES; i++) {
        const sw_feed *feed = &agent->feeds[i];
        if (sw_feed_counts(feed) && feed->last_poll_reason != NULL) {
            return xasprintf("%s: %s", sw_source_names[i], feed->last_poll_reason);
        }
    }
    return NULL;
}

static void tell_absence(sw_feed *feed) {
    if (feed->absence_told) {
        return;
    }
    feed->absence_told = true;
    char *url = sw_url_redact(feed->agent->config->tempo_url);
    sw_log(SW_LOG_INFO, "no Tempo is there and none was configured: spans are watched that come over OTLP",
           "otlp_http", feed->agent->config->otlp_http_address, "otlp_grpc",
           feed->agent->config->otlp_grpc_address, "tempo", url, "setting", "TEMPO_URL", NULL);
    free(url);
}

static unsigned in_a_row(unsigned before, uint64_t n, const sw_spans_sent *sent) {
    return n > 0 && (double)n > SW_SPANS_MANY * (double)sent->received ? before + 1 : 0;
}

static void look_at_spans(sw_feed *feed, const sw_spans_sent *sent) {
    feed->polls_late = in_a_row(feed->polls_late, sent->late, sent);
    feed->polls_future = in_a_row(feed->polls_future, sent->future, sent);
    feed->polls_dropped = in_a_row(feed->polls_dropped, sent->dropped, sent);
    feed->polls_refused = sent->refused > 0 ? feed->polls_refused + 1 : 0;
}

void sw_feed_polled(sw_feed *feed, const sw_poll_result *result) {
    sw_agent *agent = feed->agent;
    bool whole = result->counts_ok && result->traces_ok;
    feed->polling = false;
    feed->answered = feed->answered || result->reachable;
    feed->polled_once = feed->polled_once || result->reachable;
    feed->last_poll = *result;
    feed->last_byte_mono_ns = result->last_byte_mono_ns;
    free(feed->last_poll_reason);
    feed->last_poll_reason =
        whole ? NULL : xstrdup(!result->traces_ok ? result->traces_reason : result->counts_reason);
    if (!sw_feed_counts(feed)) {
        tell_absence(feed);
        return;
    }
    bool failed = sw_feed_failed(feed);
    feed->polls_failed = failed ? feed->polls_failed + 1 : 0;
    feed->polls_incomplete = whole || failed ? 0 : feed->polls_incomplete + 1;
    look_at_spans(feed, &result->spans);
    sw_metric_add(agent->m.checks, 1,
                  whole    ? "success"
                  : failed ? "error"
                           : "incomplete",
                  sw_source_names[feed->number]);
}

void sw_feed_remember(sw_feed *feed) {
    if (!sw_feed_counts(feed)) {
        return;
    }
    int64_t origin_s = 0, watermark_s = 0;
    feed->source->ops->save(feed->source, &origin_s, &watermark_s);
    if (origin_s > 0 && watermark_s != feed->stored_watermark_s) {
        feed->stored_watermark_s = watermark_s;
        sw_batch_put_source(sw_commit_batch(feed->agent), sw_source_names[feed->number], origin_s,
                            watermark_s);
    }
}
