#include "alerts/critical_path.h"

#include <stdlib.h>
#include <string.h>

/* Sums and differences of times cannot overflow below it. */
#define TIME_MAX (INT64_MAX / 4)

/* A span as a node of one tree. One more node stands for the whole trace when no span is its root. */
struct node {
    const char *id;
    int64_t start_ns, end_ns; /* as they came, put right */
    int64_t from_ns, to_ns;   /* inside all ancestors; from > to when nothing of it is */
    size_t parent;
    size_t first_child, n_children; /* in tree.children */
    size_t next_child;              /* of the walk */
    unsigned depth;
    bool dropped;     /* a duplicate */
    bool failed;      /* error status */
    bool root_failed; /* it and all its ancestors failed */
    unsigned char seen;
};

struct tree {
    const sw_trace *trace;
    struct node *nodes;
    size_t n; /* of spans; node n is the whole trace */
    size_t top;
    size_t *children; /* of all nodes, one behind another; of each the last to end first */
    size_t *order;    /* parents before children */
    size_t n_order;
};

/* ---- spans into nodes ---- */

static int64_t clamped(int64_t value) {
    return value < 0 ? 0 : value > TIME_MAX ? TIME_MAX : value;
}

static void make_nodes(struct tree *tree) {
    struct node *whole = &tree->nodes[tree->n];
    *whole = (struct node){.id = "", .start_ns = TIME_MAX * 2, .parent = SW_NO_SPAN};
    for (size_t i = 0; i < tree->n; i++) {
        const sw_span *span = &tree->trace->spans[i];
        struct node *node = &tree->nodes[i];
        int64_t start = clamped(span->start_ns);
        *node = (struct node){
            .id = span->id,
            .start_ns = start,
            .end_ns = start + clamped(span->duration_ns),
            .parent = SW_NO_SPAN,
            .failed = span->status == SW_STATUS_ERROR,
        };
        whole->start_ns = node->start_ns < whole->start_ns ? node->start_ns : whole->start_ns;
        whole->end_ns = node->end_ns > whole->end_ns ? node->end_ns : whole->end_ns;
    }
}

static int compare_times(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

static int64_t duration_of(const struct node *node) {
    return node->end_ns - node->start_ns;
}

/* By id, the one that counts first. The nodes lie in the order of the spans. */
static int by_id(const void *a, const void *b) {
    const struct node *one = *(struct node *const *)a, *other = *(struct node *const *)b;
    int order = strcmp(one->id, other->id);
    order = order != 0 ? order : compare_times(duration_of(other), duration_of(one));
    return order != 0 ? order : (one > other) - (one < other);
}

static size_t find(struct node *const *index, size_t n, const char *id) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(index[middle]->id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < n && strcmp(index[low]->id, id) == 0 ? low : SW_NO_SPAN;
}

static void link_parents(struct tree *tree) {
    struct node **index = xcalloc(tree->n, sizeof *index);
    for (size_t i = 0; i < tree->n; i++) {
        index[i] = &tree->nodes[i];
    }
    qsort(index, tree->n, sizeof *index, by_id);
    for (size_t i = 1; i < tree->n; i++) {
        index[i]->dropped = index[i]->id[0] != '\0' && strcmp(index[i]->id, index[i - 1]->id) == 0;
    }
    for (size_t i = 0; i < tree->n; i++) {
        const char *parent = tree->trace->spans[i].parent_id;
        size_t at = parent[0] != '\0' ? find(index, tree->n, parent) : SW_NO_SPAN;
        if (at != SW_NO_SPAN) {
            tree->nodes[i].parent = (size_t)(index[at] - tree->nodes);
        }
    }
    free(index);
}

/* Each node is walked over once: seen is 1 on the way up, 2 afterwards. */
static void cut_cycles(struct tree *tree) {
    struct node *nodes = tree->nodes;
    for (size_t i = 0; i < tree->n; i++) {
        size_t at = i, last = SW_NO_SPAN;
        while (at != SW_NO_SPAN && nodes[at].seen == 0) {
            nodes[at].seen = 1;
            last = at;
            at = nodes[at].parent;
        }
        if (at != SW_NO_SPAN && nodes[at].seen == 1) {
            nodes[last].parent = SW_NO_SPAN;
        }
        for (at = i; at != SW_NO_SPAN && nodes[at].seen == 1; at = nodes[at].parent) {
            nodes[at].seen = 2;
        }
    }
}

static void choose_top(struct tree *tree) {
    tree->top = tree->n;
    for (size_t i = 0; i < tree->n; i++) {
        const struct node *node = &tree->nodes[i];
        bool root = !node->dropped && tree->trace->spans[i].parent_id[0] == '\0';
        if (root && (tree->top == tree->n || duration_of(node) > duration_of(&tree->nodes[tree->top]))) {
            tree->top = i;
        }
    }
    for (size_t i = 0; i < tree->n; i++) {
        if (tree->nodes[i].parent == SW_NO_SPAN && i != tree->top) {
            tree->nodes[i].parent = tree->top;
        }
    }
}

/* ---- the tree ---- */

/* By parent, and then those that end last first; of equals the longest, and then in the order of the spans.
 */
static int by_parent_and_end(const void *a, const void *b) {
    const struct node *one = *(struct node *const *)a, *other = *(struct node *const *)b;
    if (one->parent != other->parent) {
        return (one->parent > other->parent) - (one->parent < other->parent);
    }
    int order = compare_times(other->end_ns, one->end_ns);
    order = order != 0 ? order : compare_times(one->start_ns, other->start_ns);
    return order != 0 ? order : (one > other) - (one < other);
}

static void list_children(struct tree *tree) {
    struct node **sorted = xcalloc(tree->n, sizeof *sorted);
    size_t n = 0;
    for (size_t i = 0; i < tree->n; i++) {
        if (i != tree->top && !tree->nodes[i].dropped) {
            sorted[n++] = &tree->nodes[i];
        }
    }
    qsort(sorted, n, sizeof *sorted, by_parent_and_end);
    for (size_t i = 0; i < n; i++) {
        struct node *parent = &tree->nodes[sorted[i]->parent];
        tree->children[i] = (size_t)(sorted[i] - tree->nodes);
        parent->first_child = parent->n_children++ == 0 ? i : parent->first_child;
    }
    free(sorted);
}

/* Breadth first from the top: what a node inherits is known when it is reached. */
static void descend(struct tree *tree) {
    struct node *top = &tree->nodes[tree->top];
    top->from_ns = top->start_ns;
    top->to_ns = top->end_ns;
    top->root_failed = top->failed;
    tree->order[tree->n_order++] = tree->top;
    for (size_t at = 0; at < tree->n_order; at++) {
        const struct node *parent = &tree->nodes[tree->order[at]];
        for (size_t i = 0; i < parent->n_children; i++) {
            struct node *child = &tree->nodes[tree->children[parent->first_child + i]];
            child->from_ns = child->start_ns > parent->from_ns ? child->start_ns : parent->from_ns;
            child->to_ns = child->end_ns < parent->to_ns ? child->end_ns : parent->to_ns;
            child->depth = parent->depth + 1;
            child->root_failed = child->failed && parent->root_failed;
            tree->order[tree->n_order++] = (size_t)(child - tree->nodes);
        }
    }
}

/* ---- self time ---- */

/* The children come by their ends, the last first: what they cover is swept backwards. */
static int64_t self_time(const struct tree *tree, const struct node *node) {
    int64_t left = duration_of(node), covered_from = node->end_ns;
    for (size_t i = 0; i < node->n_children; i++) {
        const struct node *child = &tree->nodes[tree->children[node->first_child + i]];
        int64_t to = child->end_ns < covered_from ? child->end_ns : covered_from;
        int64_t from = child->start_ns > node->start_ns ? child->start_ns : node->start_ns;
        if (from < to) {
            left -= to - from;
            covered_from = from;
        }
    }
    return left;
}

/* ---- the path ---- */

static void add_piece(const struct tree *tree, sw_critical_path *path, size_t span, int64_t from_ns,
                      int64_t to_ns) {
    if (span < tree->n && from_ns < to_ns) {
        path->pieces[path->n_pieces++] = (sw_path_piece){span, from_ns, to_ns};
        path->on_path_ns[span] += to_ns - from_ns;
    }
}

/* The next child that had ended when the path, coming from behind, is at `cursor`. */
static size_t next_on_path(const struct tree *tree, struct node *node, int64_t cursor_ns) {
    while (node->next_child < node->n_children) {
        size_t index = tree->children[node->first_child + node->next_child++];
        const struct node *child = &tree->nodes[index];
        if (child->to_ns <= cursor_ns && child->from_ns <= child->to_ns) {
            return index;
        }
    }
    return SW_NO_SPAN;
}

/* Down into the child that holds the path, and up again when nothing of it is left: `cursor` only falls. */
static void walk(struct tree *tree, sw_critical_path *path) {
    size_t at = tree->top;
    int64_t cursor = tree->nodes[at].to_ns;
    while (at != SW_NO_SPAN) {
        struct node *node = &tree->nodes[at];
        size_t child = next_on_path(tree, node, cursor);
        if (child != SW_NO_SPAN) {
            add_piece(tree, path, at, tree->nodes[child].to_ns, cursor);
            at = child;
            cursor = tree->nodes[child].to_ns;
            continue;
        }
        add_piece(tree, path, at, node->from_ns, cursor);
        cursor = node->from_ns;
        at = at == tree->top ? SW_NO_SPAN : node->parent;
    }
}

/* ---- the culprits ---- */

static bool fails_deeper(const struct node *one, const struct node *other) {
    if (one->root_failed != other->root_failed) {
        return one->root_failed;
    }
    return one->depth != other->depth ? one->depth > other->depth : one->end_ns > other->end_ns;
}

static void choose(const struct tree *tree, sw_critical_path *path) {
    for (size_t i = 0; i < tree->n_order; i++) {
        size_t at = tree->order[i];
        const struct node *node = &tree->nodes[at];
        if (at == tree->n) {
            continue;
        }
        if (node->failed &&
            (path->failing == SW_NO_SPAN || fails_deeper(node, &tree->nodes[path->failing]))) {
            path->failing = at;
        }
        if (path->on_path_ns[at] > 0 &&
            (path->slowest == SW_NO_SPAN || path->on_path_ns[at] >= path->on_path_ns[path->slowest])) {
            path->slowest = at;
        }
    }
}

void sw_critical_path_of(const sw_trace *trace, sw_critical_path *out) {
    *out = (sw_critical_path){.failing = SW_NO_SPAN, .slowest = SW_NO_SPAN};
    if (trace->n_spans == 0) {
        return;
    }
    struct tree tree = {.trace = trace, .n = trace->n_spans};
    tree.nodes = xcalloc(tree.n + 1, sizeof *tree.nodes);
    tree.children = xcalloc(tree.n, sizeof *tree.children);
    tree.order = xcalloc(tree.n + 1, sizeof *tree.order);
    out->self_ns = xcalloc(tree.n, sizeof *out->self_ns);
    out->on_path_ns = xcalloc(tree.n, sizeof *out->on_path_ns);
    out->pieces = xcalloc(2 * tree.n + 1, sizeof *out->pieces); /* one before each child, one at each end */
    make_nodes(&tree);
    link_parents(&tree);
    cut_cycles(&tree);
    choose_top(&tree);
    list_children(&tree);
    descend(&tree);
    for (size_t i = 0; i < tree.n; i++) {
        out->self_ns[i] = tree.nodes[i].dropped ? 0 : self_time(&tree, &tree.nodes[i]);
    }
    walk(&tree, out);
    choose(&tree, out);
    free(tree.nodes);
    free(tree.children);
    free(tree.order);
}

void sw_critical_path_release(sw_critical_path *path) {
    free(path->self_ns);
    free(path->on_path_ns);
    free(path->pieces);
    *path = (sw_critical_path){0};
}
