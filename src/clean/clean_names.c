/* clean_names.c - which event names there are, bounded.
 *
 * A shop has fifty names; a bug that puts an order number into the name has a million. The first
 * CLEAN_NAMES_MAX distinct ones are known, every event beyond is counted as overflow, which the
 * metrics show as drift. Nothing is lost by it: the event keeps its name. The registry is a
 * statistic since the start of the process and no fold reads it.
 *
 * Beside each name stands whether its events carry money, so that the words are looked at once. */
#include "clean/clean_int.h"

#include <stdlib.h>

#include "base/map.h"

enum { NAME_ORDER = 1 };

struct clean_names {
    struct hash_key key;
    struct map map;
    uint64_t overflow; /* atomic, as map.count's copy is: other threads ask */
    uint64_t count;
};

struct clean_names *clean_names_new(const struct hash_key *key)
{
    struct clean_names *names = mem_zero(sizeof *names);
    names->key = *key;
    map_init(&names->map);
    return names;
}

void clean_names_free(struct clean_names *names)
{
    if (names == NULL)
        return;
    map_done(&names->map);
    free(names);
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

/* The next word of "Order Completed", "order_completed" or "PayOrder". */
static struct str next_word(struct str *rest)
{
    size_t i = 0;
    while (i < rest->n && !is_lower(rest->p[i]) && !is_upper(rest->p[i]))
        i++;
    size_t from = i;
    while (i < rest->n && is_upper(rest->p[i]))
        i++;
    while (i < rest->n && is_lower(rest->p[i]))
        i++;
    struct str word = {rest->p + from, i - from};
    *rest = (struct str){rest->p + i, rest->n - i};
    return word;
}

static bool contains(struct str text, struct str part)
{
    return memmem(text.p, text.n, part.p, part.n) != NULL;
}

/* Does an event of this name carry money: an order, a payment, a refund. */
static bool order_like(struct str name)
{
    static const char *const words[] = {"order",  "orders",   "purchase", "purchased",
                                        "refund", "refunded", "payment",  "checkout",
                                        "pay",    "paid",     "sale",     "invoice"};
    static const char *const chinese[] = {"订单", "支付", "付款", "退款", "购买", "下单"};
    struct str rest = name, word;
    while ((word = next_word(&rest)).n > 0)
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            if (str_eq_nocase(word, str_of(words[i])))
                return true;
    for (size_t i = 0; i < sizeof chinese / sizeof chinese[0]; i++)
        if (contains(name, str_of(chinese[i])))
            return true;
    return false;
}

bool clean_names_see(struct clean_names *names, struct str name)
{
    struct hash128 key = hash_keyed(&names->key, name);
    uint64_t *known = map_find(&names->map, key);
    if (known != NULL)
        return (*known & NAME_ORDER) != 0;
    bool order = order_like(name);
    if (names->map.count < CLEAN_NAMES_MAX) {
        *map_put(&names->map, key, NULL) = order ? NAME_ORDER : 0;
        __atomic_store_n(&names->count, names->map.count, __ATOMIC_RELAXED);
    } else {
        __atomic_store_n(&names->overflow, names->overflow + 1, __ATOMIC_RELAXED);
    }
    return order;
}

void clean_names_stats(struct clean_names *names, uint64_t *ret_names, uint64_t *ret_overflow)
{
    *ret_names = __atomic_load_n(&names->count, __ATOMIC_RELAXED);
    *ret_overflow = __atomic_load_n(&names->overflow, __ATOMIC_RELAXED);
}
