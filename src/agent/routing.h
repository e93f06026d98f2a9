/*
 * Which receivers an alert goes to: the routes of the configuration with their matchers compiled.
 *
 * As in Alertmanager: an alert enters at the first route, which is for every alert, and goes into each route
 * below whose matchers all match, in their order, until one that does not continue has taken it; where no
 * route below takes it, the route itself does. Matchers see the labels of alerts/matchers.h.
 */
#ifndef SW_AGENT_ROUTING_H
#define SW_AGENT_ROUTING_H

#include "alerts/alerts.h"
#include "config/config.h"

typedef struct sw_routing sw_routing;

/* Never NULL. What is wrong with matchers is appended to `mistakes`, one per line, as the configuration says
 * its own; such a matcher matches nothing. The configuration must outlive it. */
sw_routing *sw_routing_new(const sw_config *config, sw_buf *mistakes);
void sw_routing_free(sw_routing *routing);

/* The routes that take the alert, in their order and each receiver once: how many there are, at least 1.
 * `out` has room for SW_RECEIVERS_MAX. */
size_t sw_routing_of(const sw_routing *routing, const sw_alert *alert, const sw_route_config **out);

/* The shortest repeat_interval of any route. */
int64_t sw_routing_shortest_repeat_ms(const sw_routing *routing);

/* The group in which the route tells the alert: its key, and its labels as a JSON object, appended. False
 * when the alert is told alone. */
bool sw_routing_group(const sw_route_config *route, const sw_alert *alert, sw_buf *key, sw_buf *labels_json);

#endif
