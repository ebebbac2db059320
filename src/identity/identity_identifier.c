/* identity_identifier.c - an identifier in memory and in the file.
 *
 * It is one block, value and all (58 bytes and the value): at a million people there are millions
 * of them, and the hot path asks for little else. docs/format/identity.md draws the bytes. */
#include "identity/identity_int.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"

#define IDENTIFIER_VERSION 1

struct identifier *identifier_new(struct hash128 key, enum identifier_type type, struct str value,
                                  uint64_t visitor)
{
    CHECK(value.n <= LIMIT_IDENTIFIER_BYTES);
    size_t bytes = offsetof(struct identifier, value) + value.n;
    if (bytes < sizeof(struct identifier)) /* the padding is the first bytes of the value */
        bytes = sizeof(struct identifier);
    struct identifier *identifier = mem_alloc(bytes);
    *identifier = (struct identifier){.entry = {.key = key, .bytes = (uint32_t)bytes},
                                      .visitor = visitor,
                                      .person = visitor,
                                      .type = (uint8_t)type,
                                      .value_n = (uint8_t)value.n};
    if (value.n > 0)
        memcpy(identifier->value, value.p, value.n);
    return identifier;
}

static void identifier_encode(const struct state_entry *entry, struct buf *buf)
{
    const struct identifier *identifier = (const struct identifier *)entry;
    buf_char(buf, IDENTIFIER_VERSION);
    buf_char(buf, (char)identifier->type);
    buf_varint(buf, identifier->visitor);
    buf_varint(buf, identifier->person);
    buf_varint(buf, identifier->component);
    buf_varint(buf, identifier->entry.slot);
    buf_blob(buf, identifier_value(identifier));
}

static struct state_entry *identifier_decode(struct hash128 key, struct str bytes)
{
    struct cursor cursor = cursor_of(bytes);
    uint8_t version = cursor_u8(&cursor);
    uint8_t type = cursor_u8(&cursor);
    uint64_t visitor = cursor_varint(&cursor);
    uint64_t person = cursor_varint(&cursor);
    uint64_t component = cursor_varint(&cursor);
    uint64_t slot = cursor_varint(&cursor);
    struct str value = cursor_blob(&cursor);
    if (cursor.bad || !cursor_at_end(&cursor) || version != IDENTIFIER_VERSION ||
        !identifier_type_valid(type) || visitor == 0 || person == 0 ||
        value.n > LIMIT_IDENTIFIER_BYTES || slot >= LIMIT_COMPONENT_IDENTIFIERS)
        return NULL;
    struct identifier *identifier = identifier_new(key, (enum identifier_type)type, value, visitor);
    identifier->person = person;
    identifier->component = component;
    identifier->entry.slot = (uint16_t)slot;
    return &identifier->entry;
}

static void identifier_free(struct state_entry *entry)
{
    free(entry);
}

const struct state_table_def identifier_table = {.name = "identifier",
                                                 .encode = identifier_encode,
                                                 .decode = identifier_decode,
                                                 .free = identifier_free};
