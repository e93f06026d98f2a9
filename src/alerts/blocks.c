#include "alerts/blocks.h"

#include <stdlib.h>

#define BLOCK_BYTES ((size_t)512 << 10)
#define SPARSE_BYTES ((size_t)1 << 20) /* less than this unused is no matter */
#define ALIGNMENT sizeof(uint64_t)

struct sw_block {
    sw_block *next;
    size_t used, size;
    uint64_t bytes[]; /* for the alignment */
};

size_t sw_blocks_round(size_t size) {
    return (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

static sw_block *block_with_room(sw_blocks *blocks, size_t size) {
    sw_block *block = blocks->first;
    if (block != NULL && block->size - block->used >= size) {
        return block;
    }
    size_t room = BLOCK_BYTES - sizeof *block;
    room = room < size ? size : room;
    block = xmalloc(sizeof *block + room);
    *block = (sw_block){.next = blocks->first, .size = room};
    blocks->first = block;
    return block;
}

void *sw_blocks_take(sw_blocks *blocks, size_t size) {
    sw_block *block = block_with_room(blocks, size);
    void *piece = (char *)block->bytes + block->used;
    block->used += size;
    blocks->taken += size;
    blocks->live += size;
    return piece;
}

void sw_blocks_drop(sw_blocks *blocks, size_t size) {
    blocks->live -= size;
}

bool sw_blocks_are_sparse(const sw_blocks *blocks) {
    size_t unused = blocks->taken - blocks->live;
    return unused > SPARSE_BYTES && unused > blocks->live / 2;
}

void sw_blocks_release(sw_blocks *blocks) {
    while (blocks->first != NULL) {
        sw_block *next = blocks->first->next;
        free(blocks->first);
        blocks->first = next;
    }
    *blocks = (sw_blocks){0};
}
