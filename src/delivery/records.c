/* What became of rows, written some at a time: one commit for all that happened in a while. */
#include "delivery/outbox_internal.h"
#include "telemetry/log.h"

#define WRITE_AFTER_MS 50
#define WRITE_NOW 500 /* records: do not wait longer */
#define RETRY_MS 1000

static void arm(sw_outbox *outbox, uint64_t ms) {
    if (!uv_is_active((uv_handle_t *)&outbox->write_timer)) {
        uv_timer_start(&outbox->write_timer, sw_records_on_timer, ms, 0);
    }
}

sw_store_batch *sw_records_batch(sw_outbox *outbox) {
    if (outbox->records == NULL) {
        outbox->records = sw_store_batch_new(outbox->store);
    }
    return outbox->records;
}

void sw_records_added(sw_outbox *outbox, size_t n) {
    outbox->n_records += n;
    if (outbox->n_records >= WRITE_NOW && !outbox->write_failing) {
        sw_records_flush(outbox);
    } else if (!outbox->writing) {
        arm(outbox, WRITE_AFTER_MS);
    }
}

void sw_records_put(sw_outbox *outbox, const sw_outbox_row *row) {
    sw_batch_put_outbox(sw_records_batch(outbox), row);
    sw_records_added(outbox, 1);
}

void sw_records_update(sw_outbox *outbox, const sw_outbox_row *row) {
    sw_batch_update_outbox(sw_records_batch(outbox), row);
    sw_records_added(outbox, 1);
}

void sw_records_delete(sw_outbox *outbox, int64_t id) {
    sw_batch_delete_outbox(sw_records_batch(outbox), id);
    sw_records_added(outbox, 1);
}

void sw_records_trim_dead(sw_outbox *outbox) {
    sw_batch_trim_dead(sw_records_batch(outbox), outbox->options.name, SW_OUTBOX_MAX_DEAD);
    sw_records_added(outbox, 1);
}

static void note_failure(sw_outbox *outbox, int result, const char *message) {
    if (result != 0 && !outbox->write_failing) {
        sw_log(SW_LOG_ERROR, "cannot write what became of notifications, trying again every second",
               "receiver", outbox->options.name, "reason", message, NULL);
    } else if (result == 0 && outbox->write_failing) {
        sw_log(SW_LOG_INFO, "what became of notifications is written again", "receiver", outbox->options.name,
               NULL);
    }
    outbox->write_failing = result != 0;
}

static void committed(int result, const char *message, sw_store_batch *batch, void *arg) {
    sw_outbox_link *link = arg;
    sw_outbox *outbox = link->outbox;
    if (outbox == NULL) {
        sw_store_batch_free(batch);
    } else {
        outbox->writing = false;
        outbox->failed_records = batch;
        note_failure(outbox, result, message);
        if (result != 0) {
            arm(outbox, RETRY_MS);
        } else if (outbox->records != NULL) {
            arm(outbox, outbox->n_storing > 0 ? 0 : WRITE_AFTER_MS); /* those wait to be sent */
        }
        sw_outbox_check_drained(outbox);
    }
    sw_outbox_link_release(link);
}

static void commit(sw_outbox *outbox, sw_store_batch *batch) {
    outbox->writing = true;
    outbox->link->users++;
    sw_store_commit(outbox->store, batch, committed, outbox->link);
}

/* What failed goes first: the order of what happened to a row must stay. */
void sw_records_flush(sw_outbox *outbox) {
    if (outbox->writing) {
        return;
    }
    uv_timer_stop(&outbox->write_timer);
    if (outbox->failed_records != NULL) {
        sw_store_batch *batch = outbox->failed_records;
        outbox->failed_records = NULL;
        commit(outbox, batch);
    } else if (outbox->records != NULL) {
        sw_store_batch *batch = outbox->records;
        outbox->records = NULL;
        outbox->n_records = 0;
        commit(outbox, batch);
    }
}

void sw_records_on_timer(uv_timer_t *timer) {
    sw_records_flush(timer->data);
}

bool sw_records_idle(const sw_outbox *outbox) {
    return !outbox->writing && (outbox->records == NULL || outbox->write_failing);
}

/* For the end: commits everything, in order, whatever is under way. */
void sw_records_stop(sw_outbox *outbox) {
    sw_store_batch *batches[] = {outbox->failed_records, outbox->records};
    outbox->failed_records = outbox->records = NULL;
    for (size_t i = 0; i < SW_ARRAY_LEN(batches); i++) {
        if (batches[i] != NULL) {
            commit(outbox, batches[i]);
        }
    }
}
