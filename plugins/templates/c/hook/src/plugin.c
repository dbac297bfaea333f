// No container runs an image that has no tag or whose tag is `latest`: it could be another one tomorrow.
//
// Every call starts with fresh memory, so nothing is freed here. What is returned is allocated, as the
// bindings free it.

#include <stdlib.h>
#include <string.h>

#include "plugin.h"

// A copy of a text.
static plugin_string_t text(const char *chars) {
    plugin_string_t copy;
    plugin_string_dup(&copy, chars);
    return copy;
}

// Sets a list to one zeroed item, and points to it.
#define ONE(list) ((list).len = 1, (list).ptr = calloc(1, sizeof *(list).ptr))

void exports_wharf_plugin_about_introduce(exports_wharf_plugin_about_manifest_t *manifest) {
    manifest->name = text("__name__");
    manifest->version = text("0.1.0");
    manifest->summary = text("__summary__");
    wharf_plugin_types_request_t *request = ONE(manifest->requests);
    request->right = text("ops:judge");
    request->reason = text("refuses containers of images without a fixed tag");
}

void exports_wharf_plugin_hook_describe(exports_wharf_plugin_hook_list_tuple2_moment_phase_t *asked) {
    exports_wharf_plugin_hook_tuple2_moment_phase_t *first = ONE(*asked);
    first->f0 = WHARF_PLUGIN_HOOK_TYPES_MOMENT_CONTAINER;
    first->f1 = WHARF_PLUGIN_HOOK_TYPES_PHASE_JUDGE;
}

static void error(wharf_plugin_types_diagnostic_t *said, const char *code, const char *message, const char *help) {
    said->severity = WHARF_PLUGIN_TYPES_SEVERITY_ERROR;
    said->code = text(code);
    said->message = text(message);
    said->help.is_some = true;
    said->help.val = text(help);
}

bool exports_wharf_plugin_hook_validate_settings(exports_wharf_plugin_hook_settings_t *settings,
                                                 exports_wharf_plugin_hook_failure_t *failure) {
    if (settings->len == 0) return true;
    failure->kind = WHARF_PLUGIN_TYPES_FAILURE_KIND_INVALID_INPUT;
    error(ONE(failure->diagnostics), "__name__/settings", "unknown setting", "there are no settings");
    return false;
}

bool exports_wharf_plugin_hook_adjust(exports_wharf_plugin_hook_event_t *event,
                                      exports_wharf_plugin_hook_borrow_files_t *image,
                                      exports_wharf_plugin_hook_list_adjustment_t *adjustments,
                                      exports_wharf_plugin_hook_failure_t *failure) {
    if (image) wharf_plugin_image_files_files_drop_borrow(*image); // after the last question
    adjustments->ptr = NULL;
    adjustments->len = 0;
    return true;
}

// Whether a reference names one image for good: by its digest, or by a tag other than `latest`.
static bool is_pinned(const char *image) {
    const char *slash = strrchr(image, '/');
    const char *colon = strchr(slash ? slash : image, ':');
    return strchr(image, '@') || (colon && strcmp(colon, ":latest") != 0);
}

bool exports_wharf_plugin_hook_judge(exports_wharf_plugin_hook_event_t *event,
                                     exports_wharf_plugin_hook_borrow_files_t *image,
                                     exports_wharf_plugin_hook_verdict_t *verdict,
                                     exports_wharf_plugin_hook_failure_t *failure) {
    if (image) wharf_plugin_image_files_files_drop_borrow(*image); // after the last question
    verdict->tag = WHARF_PLUGIN_HOOK_TYPES_VERDICT_ALLOW;
    if (event->subject.tag != WHARF_PLUGIN_HOOK_TYPES_SUBJECT_CONTAINER) return true;
    plugin_string_t name = event->subject.val.container.image;
    char *reference = strndup((const char *)name.ptr, name.len);
    if (is_pinned(reference)) return true;

    char *message = malloc(name.len + 64);
    strcpy(message, "the image `");
    strcat(message, reference);
    strcat(message, "` has no fixed tag");
    verdict->tag = WHARF_PLUGIN_HOOK_TYPES_VERDICT_DENY;
    error(ONE(verdict->val.deny), "__name__/unpinned", message, "name one, such as `busybox:1.36`");
    return true;
}

void exports_wharf_plugin_hook_observe(exports_wharf_plugin_hook_event_t *event) {}
