/* privacy_test.c - who is kept and who is not, by table. */
#include "privacy/privacy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct row {
    const char *context; /* NULL = none */
    bool gpc;
    enum privacy_answer want;
};

#define WITH(preferences) "{\"consent\":{\"categoryPreferences\":" preferences "}}"

static void judge(struct privacy *privacy, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        yyjson_doc *doc = NULL;
        if (rows[i].context != NULL) {
            doc = yyjson_read(rows[i].context, strlen(rows[i].context), 0);
            assert_non_null(doc);
        }
        enum privacy_answer got = privacy_may_keep(privacy, yyjson_doc_get_root(doc), rows[i].gpc);
        if (got != rows[i].want)
            fail_msg("row %zu: %d instead of %d", i, (int)got, (int)rows[i].want);
        yyjson_doc_free(doc);
    }
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void the_events_own_consent_decides_and_the_signal_asks(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {NULL, false, PRIVACY_KEEP},
        {NULL, true, PRIVACY_DENIED_GPC},
        {"{}", false, PRIVACY_KEEP},
        {"{}", true, PRIVACY_DENIED_GPC},
        {"{\"consent\":5}", false, PRIVACY_KEEP},
        {"{\"consent\":{\"categoryPreferences\":[false]}}", false, PRIVACY_KEEP},
        {"[1]", false, PRIVACY_KEEP},
        {WITH("{\"analytics\":true}"), false, PRIVACY_KEEP},
        {WITH("{\"analytics\":true}"), true, PRIVACY_KEEP},
        {WITH("{\"analytics\":false}"), false, PRIVACY_DENIED_CONSENT},
        {WITH("{\"analytics\":false}"), true, PRIVACY_DENIED_CONSENT},
        {WITH("{\"Analytics\":false}"), false, PRIVACY_DENIED_CONSENT},
        {WITH("{\"ANALYTICS\":true}"), true, PRIVACY_KEEP},
        {WITH("{\"advertising\":false}"), false, PRIVACY_KEEP},
        {WITH("{\"advertising\":true}"), true, PRIVACY_DENIED_GPC},
        {WITH("{\"analytics\":true,\"Analytics\":false}"), false, PRIVACY_DENIED_CONSENT},
        {WITH("{\"analytics\":\"false\"}"), false, PRIVACY_DENIED_CONSENT},
        {WITH("{\"analytics\":0}"), false, PRIVACY_DENIED_CONSENT},
        {WITH("{\"analytics\":\"true\"}"), true, PRIVACY_DENIED_GPC},
        {WITH("{\"analytics\":1}"), true, PRIVACY_DENIED_GPC},
        {WITH("{\"analytics\":null}"), false, PRIVACY_KEEP},
    };
    struct privacy *privacy = privacy_new(&(struct privacy_options){0});
    judge(privacy, rows, COUNT(rows));
    struct privacy_stats stats;
    privacy_stats(privacy, &stats);
    assert_int_equal(stats.denied_consent, 6);
    assert_int_equal(stats.denied_gpc, 5);
    privacy_free(privacy);
    privacy_free(NULL);
}

static void the_category_has_the_name_that_was_set(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {WITH("{\"analytics\":false}"), false, PRIVACY_KEEP},
        {WITH("{\"measurement\":false}"), false, PRIVACY_DENIED_CONSENT},
    };
    struct privacy *privacy =
        privacy_new(&(struct privacy_options){.category = STR("Measurement")});
    judge(privacy, rows, COUNT(rows));
    privacy_free(privacy);
}

static void the_signal_can_be_switched_off(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {NULL, true, PRIVACY_KEEP},
        {WITH("{\"analytics\":false}"), true, PRIVACY_DENIED_CONSENT},
    };
    struct privacy *privacy = privacy_new(&(struct privacy_options){.ignore_gpc = true});
    judge(privacy, rows, COUNT(rows));
    privacy_free(privacy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_events_own_consent_decides_and_the_signal_asks),
        cmocka_unit_test(the_category_has_the_name_that_was_set),
        cmocka_unit_test(the_signal_can_be_switched_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
