/* weekly_text.c - the page in words: fixed sentences of text.def with the facts' numbers in them.
 *
 * A sentence is chosen by rules over the facts alone, so the same facts give the same text. {name}
 * in a sentence is a value; nothing else is replaced. First comes what moved beyond noise, each
 * with the parts that make at least a fifth of the change, then what stayed, then what to look at.
 */
#include <math.h>
#include <stdio.h>

#include "analytics/weekly_int.h"
#include "base/when.h"

#define PART_SHARE 0.2 /* of the change: less is not worth a word */
#define PARTS_TOLD 3

struct value {
    const char *name;
    struct str text;
};

struct page {
    const struct weekly_ask *want;
    const struct weekly_facts *facts;
    struct buf *text;
};

/* --- numbers ---------------------------------------------------------------------------------- */

/* 12,345 or 12.34 in the question's arena; with a sign when asked. */
static struct str number(const struct page *page, double value, int decimals, bool sign)
{
    char digits[64], out[96];
    size_t n = 0;
    int length = snprintf(digits, sizeof digits, "%.*f", decimals, fabs(value));
    const char *dot = memchr(digits, '.', (size_t)length);
    int whole = dot == NULL ? length : (int)(dot - digits);
    bool zero = strspn(digits, "0.") == (size_t)length;
    if (value < 0 && !zero)
        out[n++] = '-';
    else if (sign && !zero)
        out[n++] = '+';
    for (int i = 0; i < length && n + 2 < sizeof out; i++) {
        if (i > 0 && i < whole && (whole - i) % 3 == 0)
            out[n++] = ',';
        out[n++] = digits[i];
    }
    return arena_copy(page->want->ask->arena, (struct str){out, n});
}

static struct str with(const struct page *page, struct str text, const char *end)
{
    char out[128];
    int n = snprintf(out, sizeof out, "%.*s%s", (int)(text.n < 96 ? text.n : 96), text.p, end);
    return arena_copy(page->want->ask->arena, (struct str){out, (size_t)n});
}

static struct str percent(const struct page *page, double share, bool sign)
{
    return with(page, number(page, share * 100, fabs(share) < 0.1 ? 1 : 0, sign), "%");
}

/* As people read this figure. */
static struct str figure_text(const struct page *page, enum weekly_metric metric, double value,
                              bool sign)
{
    if (metric == WEEKLY_CONVERSION && sign) {
        const char *points = text_in(page->want->language, TEXT_W_POINTS);
        return with(page, number(page, value * 100, 2, true), points);
    }
    if (metric == WEEKLY_CONVERSION)
        return with(page, number(page, value * 100, 2, false), "%");
    bool cents = metric == WEEKLY_REVENUE && fabs(value) < 1000;
    return number(page, value, cents ? 2 : 0, sign);
}

/* --- sentences -------------------------------------------------------------------------------- */

static void say(const struct page *page, enum text id, const struct value *values, size_t count)
{
    const char *at = text_in(page->want->language, id);
    while (*at != '\0') {
        const char *end = *at == '{' ? strchr(at, '}') : NULL;
        size_t n = end == NULL ? 0 : (size_t)(end - at) - 1, i = 0;
        while (i < count && end != NULL && !str_eq((struct str){at + 1, n}, str_of(values[i].name)))
            i++;
        if (end == NULL || i == count) {
            buf_char(page->text, *at++);
            continue;
        }
        buf_str(page->text, values[i].text);
        at = end + 1;
    }
}

#define SAY(page, id, ...)                                                                         \
    do {                                                                                           \
        const struct value values_[] = {__VA_ARGS__};                                              \
        say((page), (id), values_, sizeof values_ / sizeof *values_);                              \
    } while (0)

static struct str label(const struct page *page, enum weekly_metric metric)
{
    static const enum text labels[] = {TEXT_W_PEOPLE, TEXT_W_NEW_PEOPLE, TEXT_W_ORDERS,
                                       TEXT_W_REVENUE, TEXT_W_CONVERSION};
    return str_of(text_in(page->want->language, labels[metric]));
}

static struct str part_label(const struct page *page, enum weekly_by by,
                             const struct weekly_part *part)
{
    enum language language = page->want->language;
    if (part->other)
        return str_of(text_in(language, TEXT_W_OTHER));
    if (part->none)
        return str_of(
            text_in(language, by == WEEKLY_CAMPAIGN ? TEXT_W_NO_CAMPAIGN : TEXT_W_NO_CHANNEL));
    if (by == WEEKLY_CUSTOMER)
        return str_of(
            text_in(language, str_is(part->name, "new_customers") ? TEXT_W_NEW : TEXT_W_RETURNING));
    if (by != WEEKLY_STEP)
        return part->name;
    if (str_is(part->name, "people"))
        return str_of(text_in(language, TEXT_W_STEP_PEOPLE));
    if (str_is(part->name, "orders_per_buyer"))
        return str_of(text_in(language, TEXT_W_STEP_ORDERS));
    if (str_is(part->name, "revenue_per_order"))
        return str_of(text_in(language, TEXT_W_STEP_VALUE));
    struct buf name;
    struct page inner = *page;
    buf_init(&name, (size_t)1 << 16);
    inner.text = &name;
    SAY(&inner, TEXT_W_STEP_REACH, {"name", part->name});
    struct str copy = arena_copy(page->want->ask->arena, buf_view(&name));
    buf_done(&name);
    return copy;
}

/* --- what moved ------------------------------------------------------------------------------- */

/* The parts that make the change, and those that work against it. */
static bool parts_say(const struct page *page, enum weekly_metric metric, enum weekly_by by,
                      enum text id)
{
    const struct weekly_figure *figure = &page->facts->figures[metric];
    struct buf list;
    struct page inner = *page;
    size_t told = 0;
    buf_init(&list, (size_t)1 << 16);
    inner.text = &list;
    for (size_t i = 0; i < figure->parts_count[by] && told < PARTS_TOLD; i++) {
        const struct weekly_part *part = &figure->parts[by][i];
        double share = figure->change != 0 ? part->contribution / figure->change : 0;
        if (fabs(share) < PART_SHARE)
            continue;
        if (told++ > 0)
            buf_text(&list, text_in(page->want->language, TEXT_W_AND));
        SAY(&inner, TEXT_W_PART, {"name", part_label(page, by, part)},
            {"contribution", figure_text(page, metric, part->contribution, true)},
            {"share", percent(page, share, false)});
    }
    if (told > 0)
        SAY(page, id, {"list", buf_view(&list)});
    buf_done(&list);
    return told > 0;
}

/* Conversion: what comes from other visitors, what from the same ones converting otherwise. */
static void mix_say(const struct page *page)
{
    const struct weekly_figure *figure = &page->facts->figures[WEEKLY_CONVERSION];
    double mix = 0, rate = 0;
    for (size_t i = 0; i < figure->parts_count[WEEKLY_CHANNEL]; i++) {
        mix += figure->parts[WEEKLY_CHANNEL][i].mix;
        rate += figure->parts[WEEKLY_CHANNEL][i].rate;
    }
    if (figure->parts_count[WEEKLY_CHANNEL] == 0)
        return;
    SAY(page, TEXT_W_MIX, {"mix", figure_text(page, WEEKLY_CONVERSION, mix, true)},
        {"rate", figure_text(page, WEEKLY_CONVERSION, rate, true)});
}

static void figure_say(const struct page *page, enum weekly_metric metric)
{
    const struct weekly_figure *figure = &page->facts->figures[metric];
    enum text id = !figure->beyond_noise ? TEXT_W_SAME
                   : figure->change > 0  ? TEXT_W_UP
                                         : TEXT_W_DOWN;
    struct str share = isfinite(figure->change_share)
                           ? percent(page, figure->change_share, true)
                           : figure_text(page, metric, figure->change, true);
    SAY(page, id, {"metric", label(page, metric)},
        {"value", figure_text(page, metric, figure->value, false)},
        {"usual", figure_text(page, metric, figure->usual, false)},
        {"change", figure_text(page, metric, figure->change, true)}, {"share", share},
        {"low", figure_text(page, metric, figure->low, false)},
        {"high", figure_text(page, metric, figure->high, false)});
    if (!figure->beyond_noise)
        return;
    parts_say(page, metric, WEEKLY_CHANNEL, TEXT_W_BY_CHANNEL);
    if (metric == WEEKLY_CONVERSION)
        mix_say(page);
    parts_say(page, metric, WEEKLY_CAMPAIGN, TEXT_W_BY_CAMPAIGN);
    parts_say(page, metric, WEEKLY_CUSTOMER, TEXT_W_BY_CUSTOMER);
    parts_say(page, metric, WEEKLY_STEP, TEXT_W_BY_STEP);
}

/* --- what to look at -------------------------------------------------------------------------- */

/* The part that made most of the change, in its direction. */
static const struct weekly_part *leader(const struct weekly_figure *figure, enum weekly_by by)
{
    for (size_t i = 0; i < figure->parts_count[by]; i++) {
        const struct weekly_part *part = &figure->parts[by][i];
        if (!part->other && part->contribution * figure->change > 0 &&
            fabs(part->contribution) >= PART_SHARE * fabs(figure->change))
            return part;
    }
    return NULL;
}

static void look_say(const struct page *page, enum weekly_metric metric, enum weekly_by by,
                     enum text id)
{
    const struct weekly_part *part = leader(&page->facts->figures[metric], by);
    if (part == NULL || part->none)
        return;
    SAY(page, id, {"name", part_label(page, by, part)}, {"metric", label(page, metric)},
        {"value", by == WEEKLY_STEP ? STR("") : figure_text(page, metric, part->value, false)},
        {"usual", by == WEEKLY_STEP ? STR("") : figure_text(page, metric, part->usual, false)});
}

/* By the revenue where it moved, else by the first figure that did. */
static void looks_say(const struct page *page)
{
    static const enum weekly_metric order[] = {WEEKLY_REVENUE, WEEKLY_ORDERS, WEEKLY_CONVERSION,
                                               WEEKLY_PEOPLE, WEEKLY_NEW_PEOPLE};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        enum weekly_metric metric = order[i];
        if (!page->facts->figures[metric].beyond_noise)
            continue;
        buf_text(page->text, text_in(page->want->language, TEXT_W_LOOK));
        look_say(page, metric, WEEKLY_STEP, TEXT_W_LOOK_STEP);
        look_say(page, metric, WEEKLY_CHANNEL, TEXT_W_LOOK_CHANNEL);
        look_say(page, metric, WEEKLY_CAMPAIGN, TEXT_W_LOOK_CAMPAIGN);
        return;
    }
    buf_text(page->text, text_in(page->want->language, TEXT_W_LOOK_NOTHING));
}

/* --- the page --------------------------------------------------------------------------------- */

static struct str day_text(const struct page *page, int64_t time)
{
    char text[48];
    struct zone_time at;
    zone_local(page->want->ask->calendar, time, &at);
    int n = snprintf(text, sizeof text, "%04d-%02d-%02d", at.year, at.month, at.day);
    return arena_copy(page->want->ask->arena, (struct str){text, (size_t)n});
}

static void little_say(const struct page *page)
{
    SAY(page, TEXT_W_LITTLE, {"weeks", number(page, (double)page->facts->weeks, 0, false)},
        {"least", number(page, WEEKLY_LEAST, 0, false)});
    for (int m = 0; m < WEEKLY_METRICS; m++)
        SAY(page, TEXT_W_BARE, {"metric", label(page, (enum weekly_metric)m)},
            {"value",
             figure_text(page, (enum weekly_metric)m, page->facts->figures[m].value, false)});
}

void weekly_text(const struct weekly_ask *want, const struct weekly_facts *facts, struct buf *text)
{
    struct page page = {want, facts, text};
    int moved = 0;
    SAY(&page, TEXT_W_TITLE, {"from", day_text(&page, want->borders[WEEKLY_BEFORE])},
        {"to", day_text(&page, (int64_t)want->borders[WEEKLY_WEEKS] - 1)});
    if (facts->weeks < WEEKLY_LEAST) {
        little_say(&page);
        return;
    }
    if (facts->figures[WEEKLY_PEOPLE].value == 0 && facts->figures[WEEKLY_PEOPLE].usual == 0) {
        SAY(&page, TEXT_W_EMPTY, {"weeks", number(&page, (double)facts->weeks, 0, false)});
        return;
    }
    for (int m = 0; m < WEEKLY_METRICS; m++)
        moved += facts->figures[m].beyond_noise;
    SAY(&page, moved > 0 ? TEXT_W_MOVED : TEXT_W_QUIET, {"count", number(&page, moved, 0, false)},
        {"all", number(&page, WEEKLY_METRICS, 0, false)},
        {"weeks", number(&page, (double)facts->weeks, 0, false)});
    for (int pass = 1; pass >= 0; pass--)
        for (int m = 0; m < WEEKLY_METRICS; m++)
            if (facts->figures[m].beyond_noise == (pass == 1))
                figure_say(&page, (enum weekly_metric)m);
    looks_say(&page);
}
