/* when.c - instants as text: the forms that clients and files write.
 *
 * A form is recognised by its first characters and read by one small reader per form; a rest that
 * no reader wanted makes the whole text "no time", because a half-understood time is worse than
 * none. Numbers are told apart by their size alone: every instant between 1973 and 5138 has
 * different lengths in seconds, milli-, micro- and nanoseconds; eight or fourteen digits are a date
 * first, if the calendar has that date.
 *
 * Why not strptime? It skips what it does not know, has no fractions and depends on the locale. */
#include "base/when.h"

#include "base/check.h"
#include "base/clock.h"

/* Days from 1970-01-01, proleptic Gregorian; both ways after Howard Hinnant's public algorithms:
 * years begin in March, so the leap day is the last of its year. */
static int64_t days_from_civil(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

void when_civil(int64_t days, int *ret_y, int *ret_m, int *ret_d)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *ret_d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *ret_m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *ret_y = (int)(yoe + era * 400 + (*ret_m <= 2));
}

struct civil {
    int year, month, day, hour, minute, second;
    int us;
    bool has_zone;
    int zone_s;
};

static bool civil_valid(const struct civil *c)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (c->year < 1 || c->year > 9999 || c->month < 1 || c->month > 12 || c->day < 1)
        return false;
    bool leap = c->year % 4 == 0 && (c->year % 100 != 0 || c->year % 400 == 0);
    if (c->day > days[c->month - 1] + (c->month == 2 && leap))
        return false;
    /* A leap second is the first instant of the next minute, as on every clock that has none. */
    return c->hour <= 23 && c->minute <= 59 &&
           (c->second <= 59 || (c->second == 60 && c->minute == 59));
}

/* --- a scanner: each reader takes what it wants and says whether it was there ----------------- */

static bool take_char(struct str *s, const char *any)
{
    if (s->n == 0)
        return false;
    while (*any != '\0' && *any != s->p[0]) /* of two or three: no work for strchr */
        any++;
    if (*any == '\0')
        return false;
    s->p++;
    s->n--;
    return true;
}

static bool take_str(struct str *s, struct str word)
{
    if (s->n < word.n || !str_eq_nocase((struct str){s->p, word.n}, word))
        return false;
    s->p += word.n;
    s->n -= word.n;
    return true;
}

static void skip_blanks(struct str *s)
{
    while (take_char(s, " \t")) {
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t digits_ahead(struct str s)
{
    size_t n = 0;
    while (n < s.n && is_digit(s.p[n]))
        n++;
    return n;
}

/* Between `least` and `most` digits. */
static bool take_number(struct str *s, size_t least, size_t most, int *ret)
{
    size_t n = digits_ahead(*s);
    if (n < least)
        return false;
    if (n > most)
        n = most;
    int v = 0;
    for (size_t i = 0; i < n; i++)
        v = v * 10 + (s->p[i] - '0');
    s->p += n;
    s->n -= n;
    *ret = v;
    return true;
}

/* The digits after a point, of which six count. */
static bool take_fraction(struct str *s, int *ret_us)
{
    size_t n = digits_ahead(*s);
    if (n == 0)
        return false;
    int us = 0;
    for (size_t i = 0; i < 6; i++)
        us = us * 10 + (i < n ? s->p[i] - '0' : 0);
    s->p += n;
    s->n -= n;
    *ret_us = us;
    return true;
}

/* +08:00 +0800 +08 +8 */
static bool take_offset(struct str *s, struct civil *c)
{
    int sign = s->n > 0 && s->p[0] == '-' ? -1 : 1, hour = 0, minute = 0;
    if (!take_char(s, "+-") || !take_number(s, 1, 2, &hour))
        return false;
    bool colon = take_char(s, ":");
    if ((colon || digits_ahead(*s) > 0) && !take_number(s, 2, 2, &minute))
        return false;
    c->has_zone = true;
    c->zone_s = sign * (hour * 3600 + minute * 60);
    return hour <= 23 && minute <= 59;
}

static bool take_zone(struct str *s, struct civil *c)
{
    skip_blanks(s);
    if (s->n == 0)
        return true;
    if (s->p[0] == '+' || s->p[0] == '-')
        return take_offset(s, c);
    bool named = take_str(s, STR("UTC")) || take_str(s, STR("GMT"));
    if (!named && !take_char(s, "Zz"))
        return false;
    c->has_zone = true;
    if (named && s->n > 0 && (s->p[0] == '+' || s->p[0] == '-') && !take_offset(s, c))
        return false;
    skip_blanks(s);
    if (named && take_char(s, "(")) /* JavaScript: "GMT+0800 (China Standard Time)" */
        s->n = s->n > 0 && s->p[s->n - 1] == ')' ? 0 : s->n;
    return s->n == 0;
}

/* 10:00[:00[.123]] and 10时00分[00秒]; then the zone and nothing more. */
static bool take_clock(struct str *s, struct civil *c)
{
    if (!take_number(s, 1, 2, &c->hour))
        return false;
    bool chinese = take_str(s, STR("时")) || take_str(s, STR("点"));
    if ((!chinese && !take_char(s, ":")) || !take_number(s, 1 + !chinese, 2, &c->minute))
        return false;
    if (chinese && !take_str(s, STR("分")))
        return false;
    bool seconds = chinese ? digits_ahead(*s) > 0 : take_char(s, ":");
    if (seconds && !take_number(s, 1 + !chinese, 2, &c->second))
        return false;
    if (seconds && take_char(s, ".,") && !take_fraction(s, &c->us))
        return false;
    if (seconds && chinese && !take_str(s, STR("秒")))
        return false;
    return take_zone(s, c) && s->n == 0;
}

/* What may follow a date: nothing, or a clock behind a T or blanks. */
static bool take_clock_or_end(struct str *s, struct civil *c)
{
    size_t n = s->n;
    if (n == 0)
        return true;
    if (!take_char(s, "Tt"))
        skip_blanks(s);
    return s->n < n && s->n > 0 && take_clock(s, c);
}

/* 2026-11-24, 2026/11/24, 2026.11.24, 2026年11月24日 */
static bool read_year_first(struct str s, struct civil *c)
{
    if (!take_number(&s, 4, 4, &c->year))
        return false;
    if (take_str(&s, STR("年")))
        return take_number(&s, 1, 2, &c->month) && take_str(&s, STR("月")) &&
               take_number(&s, 1, 2, &c->day) && take_str(&s, STR("日")) &&
               (s.n == 0 || is_digit(s.p[0]) ? s.n == 0 || take_clock(&s, c)
                                             : take_clock_or_end(&s, c));
    char separator[2] = {s.n > 0 ? s.p[0] : '\0', '\0'};
    size_t least = separator[0] == '-' ? 2 : 1;
    return take_char(&s, "-/.") && take_number(&s, least, 2, &c->month) &&
           take_char(&s, separator) && take_number(&s, least, 2, &c->day) &&
           take_clock_or_end(&s, c);
}

/* 20261124, 20261124100000, 20261124T100000Z; the caller has seen that 8 or 14 digits stand there.
 */
static bool read_compact(struct str s, struct civil *c)
{
    if (!take_number(&s, 4, 4, &c->year) || !take_number(&s, 2, 2, &c->month) ||
        !take_number(&s, 2, 2, &c->day))
        return false;
    if (s.n == 0)
        return true;
    take_char(&s, "Tt");
    return take_number(&s, 2, 2, &c->hour) && take_number(&s, 2, 2, &c->minute) &&
           take_number(&s, 2, 2, &c->second) &&
           (!take_char(&s, ".") || take_fraction(&s, &c->us)) && take_zone(&s, c) && s.n == 0;
}

static bool take_month(struct str *s, int *ret_month)
{
    static const char *const full[] = {"january",   "february", "march",    "april",
                                       "may",       "june",     "july",     "august",
                                       "september", "october",  "november", "december"};
    for (int i = 0; i < 12; i++) {
        if (take_str(s, str_of(full[i])) || take_str(s, (struct str){full[i], 3})) {
            *ret_month = i + 1;
            return true;
        }
    }
    return false;
}

static void skip_weekday(struct str *s)
{
    static const char days[] = "monday\0\0\0\0tuesday\0\0\0wednesday\0thursday\0\0"
                               "friday\0\0\0\0saturday\0\0sunday\0\0\0";
    for (int i = 0; i < 7; i++) {
        const char *day = days + (size_t)i * 10;
        if (take_str(s, str_of(day)) || take_str(s, (struct str){day, 3}))
            break;
    }
    take_char(s, ",");
    skip_blanks(s);
}

/* [Tue,] 24 Nov 2026 10:00:00 GMT (mail, HTTP) and [Tue] Nov 24[,] 2026 10:00:00 (JavaScript). */
static bool read_words(struct str s, struct civil *c)
{
    skip_weekday(&s);
    bool day_first = s.n > 0 && is_digit(s.p[0]);
    if (day_first) {
        if (!take_number(&s, 1, 2, &c->day) || !take_char(&s, " -"))
            return false;
        skip_blanks(&s);
    }
    if (!take_month(&s, &c->month) || !take_char(&s, " -"))
        return false;
    skip_blanks(&s);
    if (!day_first) {
        if (!take_number(&s, 1, 2, &c->day))
            return false;
        take_char(&s, ",");
        skip_blanks(&s);
    }
    return take_number(&s, 4, 4, &c->year) && take_clock_or_end(&s, c);
}

/* --- numbers ---------------------------------------------------------------------------------- */

#define EPOCH_SECONDS_LEAST INT64_C(100000000)   /* 1973: fewer digits have always been a bug */
#define EPOCH_SECONDS_END INT64_C(100000000000)  /* 5138 */
#define EPOCH_MS_END INT64_C(100000000000000)    /* 5138 */
#define EPOCH_US_END INT64_C(100000000000000000) /* 5138 */

/* Digits, for seconds with a fraction. */
static bool read_epoch(struct str s, int64_t *ret_us)
{
    size_t n = digits_ahead(s);
    int64_t v = 0;
    if (n < 9 || n > 19)
        return false;
    for (size_t i = 0; i < n; i++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, s.p[i] - '0', &v))
            return false;
    s.p += n;
    s.n -= n;
    int us = 0, ignored;
    bool fraction = take_char(&s, ".");
    if (fraction && !take_fraction(&s, v < EPOCH_SECONDS_END ? &us : &ignored))
        return false;
    if (s.n > 0 || v < EPOCH_SECONDS_LEAST)
        return false;
    if (v < EPOCH_SECONDS_END)
        *ret_us = v * US_PER_S + us;
    else if (v < EPOCH_MS_END)
        *ret_us = v * US_PER_MS;
    else
        *ret_us = v < EPOCH_US_END ? v : v / 1000;
    return true;
}

static int64_t civil_us(const struct civil *c, int zone_offset_s)
{
    int64_t s = days_from_civil(c->year, c->month, c->day) * 86400 + c->hour * 3600 +
                c->minute * 60 + c->second - (c->has_zone ? c->zone_s : zone_offset_s);
    return s * US_PER_S + c->us;
}

bool when_parse(struct str text, int zone_offset_s, int64_t *ret_us)
{
    struct str s = str_trim(text);
    struct civil c = {0};
    size_t digits = digits_ahead(s);
    bool bare = digits == s.n;
    bool compact = (bare && (digits == 8 || digits == 14)) ||
                   (digits == 8 && digits < s.n && (s.p[8] == 'T' || s.p[8] == 't')) ||
                   (digits == 14 && digits < s.n && s.p[14] != '.');
    if (compact && read_compact(s, &c) && civil_valid(&c)) {
        *ret_us = civil_us(&c, zone_offset_s);
        return true;
    }
    if (digits >= 9)
        return read_epoch(s, ret_us);
    c = (struct civil){0};
    if (digits == 4 ? !read_year_first(s, &c) : !read_words(s, &c))
        return false;
    if (!civil_valid(&c))
        return false;
    *ret_us = civil_us(&c, zone_offset_s);
    return true;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static void put_digits(char *to, int v, int digits)
{
    for (int i = digits; i-- > 0; v /= 10)
        to[i] = (char)('0' + v % 10);
}

void when_format(int64_t us, char ret_text[28])
{
    static const int64_t first = INT64_C(-62135596800000000), last = INT64_C(253402300799999999);
    us = us < first ? first : us > last ? last : us; /* years 0001 to 9999 */
    int64_t s = floor_div(us, US_PER_S), days = floor_div(s, 86400);
    int in_day = (int)(s - days * 86400), y, m, d;
    when_civil(days, &y, &m, &d);
    memcpy(ret_text, "0000-00-00T00:00:00.000000Z", 28);
    put_digits(ret_text, y, 4);
    put_digits(ret_text + 5, m, 2);
    put_digits(ret_text + 8, d, 2);
    put_digits(ret_text + 11, in_day / 3600, 2);
    put_digits(ret_text + 14, in_day / 60 % 60, 2);
    put_digits(ret_text + 17, in_day % 60, 2);
    put_digits(ret_text + 20, (int)(us - s * US_PER_S), 6);
}
