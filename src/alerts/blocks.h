/*
 * Memory for a hundred thousand small pieces that come and go: in large blocks, apart from everything else
 * that the program allocates, so that no holes are left between them for good. A piece that is dropped leaves
 * its room unused; when too much is unused, whoever owns the pieces copies those that are left into new
 * blocks.
 */
#ifndef SW_ALERTS_BLOCKS_H
#define SW_ALERTS_BLOCKS_H

#include "base/base.h"

typedef struct sw_block sw_block;

typedef struct sw_blocks {
    sw_block *first; /* the one being filled */
    size_t taken;    /* bytes of all pieces that were ever taken */
    size_t live;     /* of those that were not dropped */
} sw_blocks;

/* A size as it is counted, for taking and dropping. */
size_t sw_blocks_round(size_t size);
/* Aligned for any number. `size` is a rounded one. */
void *sw_blocks_take(sw_blocks *blocks, size_t size);
void sw_blocks_drop(sw_blocks *blocks, size_t size);
/* Whether copying would free a lot. */
bool sw_blocks_are_sparse(const sw_blocks *blocks);
void sw_blocks_release(sw_blocks *blocks);

#endif
