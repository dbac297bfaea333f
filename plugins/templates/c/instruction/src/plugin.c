// `__KEYWORD__ TEXT` writes a text to `/etc/__name__` and labels the image with it.
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
    manifest->requests.len = 2;
    manifest->requests.ptr = calloc(2, sizeof *manifest->requests.ptr);
    manifest->requests.ptr[0].right = text("ops:write");
    manifest->requests.ptr[0].reason = text("writes /etc/__name__");
    manifest->requests.ptr[1].right = text("ops:config");
    manifest->requests.ptr[1].reason = text("sets the label __name__");
}

void exports_wharf_plugin_instruction_describe(exports_wharf_plugin_instruction_list_keyword_spec_t *keywords) {
    exports_wharf_plugin_instruction_keyword_spec_t *keyword = ONE(*keywords);
    keyword->keyword = text("__KEYWORD__");
    keyword->summary = text("writes a text into the image");
    keyword->body = EXPORTS_WHARF_PLUGIN_INSTRUCTION_BODY_KIND_TEXT;
    keyword->expands_variables = true;
}

// Says what is wrong, and what to do about it.
static bool refuse(exports_wharf_plugin_instruction_failure_t *failure, const char *message, const char *help) {
    failure->kind = WHARF_PLUGIN_TYPES_FAILURE_KIND_INVALID_INPUT;
    wharf_plugin_types_diagnostic_t *said = ONE(failure->diagnostics);
    said->severity = WHARF_PLUGIN_TYPES_SEVERITY_ERROR;
    said->code = text("InvalidInstruction");
    said->message = text(message);
    said->help.is_some = true;
    said->help.val = text(help);
    return false;
}

bool exports_wharf_plugin_instruction_validate_settings(exports_wharf_plugin_instruction_settings_t *settings,
                                                        exports_wharf_plugin_instruction_failure_t *failure) {
    return settings->len == 0 || refuse(failure, "unknown setting", "there are no settings");
}

bool exports_wharf_plugin_instruction_plan_instruction(exports_wharf_plugin_instruction_invocation_t *call,
                                                       exports_wharf_plugin_instruction_borrow_context_t context,
                                                       exports_wharf_plugin_instruction_outcome_t *outcome,
                                                       exports_wharf_plugin_instruction_failure_t *failure) {
    wharf_plugin_build_context_context_drop_borrow(context); // after the last question
    plugin_string_t body = call->body.val.text;
    while (body.len > 0 && strchr(" \t", body.ptr[0])) body.ptr++, body.len--;
    while (body.len > 0 && strchr(" \t", body.ptr[body.len - 1])) body.len--;
    if (body.len == 0) return refuse(failure, "__KEYWORD__ requires a text", "write `__KEYWORD__ some words`");

    memset(outcome, 0, sizeof *outcome);
    outcome->tag = EXPORTS_WHARF_PLUGIN_INSTRUCTION_OUTCOME_PLAN;
    exports_wharf_plugin_instruction_plan_t *plan = &outcome->val.plan;

    wharf_plugin_build_plan_op_t *op = ONE(plan->ops);
    op->label = text("write /etc/__name__");
    op->action.tag = WHARF_PLUGIN_BUILD_PLAN_ACTION_WRITE;
    wharf_plugin_build_plan_write_t *write = &op->action.val.write;
    write->base.tag = WHARF_PLUGIN_BUILD_PLAN_INPUT_STAGE;
    write->path = text("/etc/__name__");
    write->mode = 0644;
    write->content.len = body.len + 1;
    write->content.ptr = malloc(body.len + 1);
    memcpy(write->content.ptr, body.ptr, body.len);
    write->content.ptr[body.len] = '\n';

    plan->rootfs.tag = WHARF_PLUGIN_BUILD_PLAN_INPUT_OP;
    plan->rootfs.val.op = 0;

    wharf_plugin_build_plan_config_change_t *change = ONE(plan->config);
    change->tag = WHARF_PLUGIN_BUILD_PLAN_CONFIG_CHANGE_LABEL;
    change->val.label.f0 = text("__name__");
    plugin_string_dup_n(&change->val.label.f1, (const char *)body.ptr, body.len);
    return true;
}
