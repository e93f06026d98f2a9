#include "detectors/finding.h"

#include <stdlib.h>

static const char *const severities[] = {"info", "warning", "critical"};

const char *sw_severity_name(sw_severity severity) {
    return (unsigned)severity < SW_ARRAY_LEN(severities) ? severities[severity]
                                                         : severities[SW_SEVERITY_WARNING];
}

int sw_severity_parse(const char *name, sw_severity *out) {
    for (size_t i = 0; i < SW_ARRAY_LEN(severities); i++) {
        if (sw_streq(name, severities[i])) {
            *out = (sw_severity)i;
            return 0;
        }
    }
    return -1;
}

void sw_finding_release(sw_finding *finding) {
    for (size_t i = 0; i < finding->n_labels; i++) {
        free(finding->labels[i].name);
        free(finding->labels[i].value);
    }
    for (size_t i = 0; i < finding->n_traces; i++) {
        sw_trace_release(&finding->traces[i]);
    }
    free(finding->labels);
    free(finding->traces);
    free(finding->type);
    free(finding->detector);
    free(finding->source);
    free(finding->service);
    free(finding->operation);
    free(finding->key);
    free(finding->summary);
    free(finding->span_name);
    free(finding->error_message);
    *finding = (sw_finding){0};
}

void sw_findings_free(sw_finding *findings, size_t n) {
    for (size_t i = 0; i < n; i++) {
        sw_finding_release(&findings[i]);
    }
    free(findings);
}
