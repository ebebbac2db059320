/* sensors_fuzz.c - arbitrary bytes as a 神策 transmission: the form, its base64, its gzip, its
 * JSON.
 *
 * Nothing may be refused and nothing lost: a form with data gives at least one record. Built by
 * -Dfuzz=true with clang. */
#include "collect/collect_int.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void form_take(struct door *door, const struct sensors_form *form)
{
    struct intake intake;
    struct sensors_opened opened;
    collect_intake_init(&intake, door);
    intake.path = STR("/sa");
    collect_sensors_open(door, form, &opened);
    bool empty_list =
        opened.root != NULL && yyjson_is_arr(opened.root) && yyjson_arr_size(opened.root) == 0;
    collect_sensors_take(&intake, &opened);
    CHECK(intake.records == intake.items && (intake.items > 0 || empty_list));
    collect_intake_done(&intake);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct door door;
    static struct rng rng;
    if (door.rng == NULL) {
        rng_init_seed(&rng, 1);
        collect_door_init(&door, &rng);
    }
    struct str body = {(const char *)bytes, n};
    struct sensors_form form = {.data = collect_form_field(body, "data_list", &door.arena),
                                .gzip = collect_form_field(body, "gzip", &door.arena),
                                .crc = collect_form_field(body, "crc", &door.arena)};
    if (form.data.n == 0)
        form.data = collect_form_field(body, "data", &door.arena);
    if (form.data.n > 0)
        form_take(&door, &form);
    form = (struct sensors_form){.data = body}; /* the record itself, unwrapped */
    if (n > 0)
        form_take(&door, &form);
    collect_door_reset(&door);
    return 0;
}
