// Keeps every layer, container and volume as a whole tree of its own, at `<id>/fs`.
//
// Every call starts with fresh memory, so nothing is freed here. What is returned is allocated, as the
// bindings free it.

#include <stdlib.h>
#include <string.h>

#include "plugin.h"

typedef exports_wharf_plugin_storage_driver_object_t object_t;
typedef exports_wharf_plugin_storage_driver_plan_t plan_t;
typedef exports_wharf_plugin_storage_driver_failure_t failure_t;
typedef exports_wharf_plugin_storage_driver_borrow_view_t view_t;
typedef wharf_plugin_storage_plan_rooted_t rooted_t;
typedef wharf_plugin_storage_plan_step_t step_t;

// A copy of a text.
static plugin_string_t text(const char *chars) {
    plugin_string_t copy;
    plugin_string_dup(&copy, chars);
    return copy;
}

// A copy of two texts, one after the other.
static plugin_string_t joined(plugin_string_t first, const char *second) {
    plugin_string_t both = {.len = first.len + strlen(second)};
    both.ptr = malloc(both.len);
    memcpy(both.ptr, first.ptr, first.len);
    memcpy(both.ptr + first.len, second, strlen(second));
    return both;
}

// A path of an object: all of it, or the tree in it.
static rooted_t everything(object_t *object) { return (rooted_t){object->area, joined(object->id, "")}; }
static rooted_t tree(object_t *object) { return (rooted_t){object->area, joined(object->id, "/fs")}; }

// Starts a plan of so many steps.
static step_t *steps(plan_t *plan, view_t state, size_t count) {
    wharf_plugin_state_view_drop_borrow(state); // after the last question
    memset(plan, 0, sizeof *plan);
    plan->steps.len = count;
    return plan->steps.ptr = count ? calloc(count, sizeof(step_t)) : NULL;
}

static void mkdir_step(step_t *step, rooted_t path) {
    step->label = text("make a directory");
    step->action.tag = WHARF_PLUGIN_STORAGE_PLAN_ACTION_MKDIR;
    step->action.val.mkdir.path = path;
    step->action.val.mkdir.mode = 0755;
}

void exports_wharf_plugin_about_introduce(exports_wharf_plugin_about_manifest_t *manifest) {
    static const char *const requests[][2] = {
        {"ops:directory", "makes, copies and moves the trees"},
        {"ops:remove-tree", "removes them"},
        {"ops:mount-directory", "shows them"},
    };
    manifest->name = text("__name__");
    manifest->version = text("0.1.0");
    manifest->summary = text("__summary__");
    manifest->requests.len = 3;
    manifest->requests.ptr = calloc(3, sizeof *manifest->requests.ptr);
    for (size_t i = 0; i < 3; i++) {
        manifest->requests.ptr[i].right = text(requests[i][0]);
        manifest->requests.ptr[i].reason = text(requests[i][1]);
    }
}

void exports_wharf_plugin_storage_driver_describe(exports_wharf_plugin_storage_driver_driver_info_t *driver) {
    driver->name = text("__name__");
    driver->layers = EXPORTS_WHARF_PLUGIN_STORAGE_DRIVER_LAYER_FORMAT_TREE;
}

bool exports_wharf_plugin_storage_driver_validate_settings(exports_wharf_plugin_storage_driver_settings_t *settings,
                                                           exports_wharf_plugin_storage_driver_host_facts_t *facts,
                                                           failure_t *failure) {
    if (settings->len == 0) return true;
    failure->kind = WHARF_PLUGIN_TYPES_FAILURE_KIND_INVALID_INPUT;
    failure->diagnostics.len = 1;
    failure->diagnostics.ptr = calloc(1, sizeof *failure->diagnostics.ptr);
    failure->diagnostics.ptr->severity = WHARF_PLUGIN_TYPES_SEVERITY_ERROR;
    failure->diagnostics.ptr->code = text("__name__/settings");
    failure->diagnostics.ptr->message = text("unknown setting");
    return false;
}

void exports_wharf_plugin_storage_driver_locate(object_t *object,
                                                exports_wharf_plugin_storage_driver_location_t *location) {
    memset(location, 0, sizeof *location);
    location->changes = tree(object);
}

bool exports_wharf_plugin_storage_driver_plan_create(plugin_string_t *token, object_t *object, view_t state,
                                                     plan_t *plan, failure_t *failure) {
    if (object->area == WHARF_PLUGIN_STORAGE_PLAN_AREA_VOLUME || object->parents.len == 0) {
        mkdir_step(steps(plan, state, 1), tree(object));
        return true;
    }
    step_t *step = steps(plan, state, 2);
    mkdir_step(&step[0], everything(object));
    step[1].label = text("copy the layer below");
    step[1].action.tag = WHARF_PLUGIN_STORAGE_PLAN_ACTION_CLONE_TREE;
    step[1].action.val.clone_tree.source.area = WHARF_PLUGIN_STORAGE_PLAN_AREA_LAYER;
    step[1].action.val.clone_tree.source.path = joined(object->parents.ptr[0], "/fs");
    step[1].action.val.clone_tree.dest = tree(object);
    return true;
}

bool exports_wharf_plugin_storage_driver_plan_commit(plugin_string_t *token, object_t *container, object_t *layer,
                                                     view_t state, plan_t *plan, failure_t *failure) {
    step_t *step = steps(plan, state, 2);
    mkdir_step(&step[0], everything(layer));
    step[1].label = text("keep the container's tree");
    step[1].action.tag = WHARF_PLUGIN_STORAGE_PLAN_ACTION_RENAME;
    step[1].action.val.rename.source = tree(container);
    step[1].action.val.rename.dest = tree(layer);
    return true;
}

bool exports_wharf_plugin_storage_driver_plan_attach(plugin_string_t *token, object_t *object, bool read_only,
                                                     view_t state, plan_t *plan, failure_t *failure) {
    steps(plan, state, 0);
    plan->mounts.len = 1;
    plan->mounts.ptr = calloc(1, sizeof *plan->mounts.ptr);
    plan->mounts.ptr->tag = WHARF_PLUGIN_STORAGE_PLAN_MOUNT_BIND;
    plan->mounts.ptr->val.bind.source = tree(object);
    plan->mounts.ptr->val.bind.read_only = read_only;
    return true;
}

bool exports_wharf_plugin_storage_driver_plan_detach(plugin_string_t *token, object_t *object, view_t state,
                                                     plan_t *plan, failure_t *failure) {
    steps(plan, state, 0);
    return true;
}

bool exports_wharf_plugin_storage_driver_plan_remove(plugin_string_t *token, object_t *object, view_t state,
                                                     plan_t *plan, failure_t *failure) {
    step_t *step = steps(plan, state, 1);
    step->label = text("remove everything");
    step->action.tag = WHARF_PLUGIN_STORAGE_PLAN_ACTION_REMOVE_TREE;
    step->action.val.remove_tree = everything(object);
    return true;
}
