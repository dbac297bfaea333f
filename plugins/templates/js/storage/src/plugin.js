// Keeps every layer, container and volume as a whole tree of its own, at `<id>/fs`.

export const about = {
  introduce() {
    return {
      name: '__name__',
      version: '0.1.0',
      summary: '__summary__',
      requests: [
        { right: 'ops:directory', reason: 'makes, copies and moves the trees' },
        { right: 'ops:remove-tree', reason: 'removes them' },
        { right: 'ops:mount-directory', reason: 'shows them' },
      ],
    };
  },
};

export const storageDriver = {
  describe() {
    return { name: '__name__', layers: 'tree' };
  },

  validateSettings(settings, facts) {
    if (settings.length === 0) return;
    const message = `unknown setting \`${settings[0][0]}\``;
    const diagnostic = { severity: 'error', code: '__name__/settings', message, span: undefined, help: undefined, url: undefined };
    throw { kind: 'invalid-input', diagnostics: [diagnostic] };
  },

  locate(object) {
    return { changes: tree(object), image: undefined };
  },

  planCreate(token, object, state) {
    const [parent] = object.parents;
    if (object.area === 'volume' || parent === undefined) return plan([mkdir(tree(object))]);
    const move = { source: { area: 'layer', path: `${parent}/fs` }, dest: tree(object) };
    return plan([mkdir(everything(object)), { action: { tag: 'clone-tree', val: move }, label: `copy ${parent}` }]);
  },

  planCommit(token, container, layer, state) {
    const move = { source: tree(container), dest: tree(layer) };
    return plan([mkdir(everything(layer)), { action: { tag: 'rename', val: move }, label: `keep ${container.id}` }]);
  },

  planAttach(token, object, readOnly, state) {
    return plan([], [{ tag: 'bind', val: { source: tree(object), readOnly } }]);
  },

  planDetach(token, object, state) {
    return plan([]);
  },

  planRemove(token, object, state) {
    return plan([{ action: { tag: 'remove-tree', val: everything(object) }, label: `remove ${object.id}` }]);
  },
};

function everything(object) {
  return { area: object.area, path: object.id };
}

function tree(object) {
  return { area: object.area, path: `${object.id}/fs` };
}

function mkdir(path) {
  return { action: { tag: 'mkdir', val: { path, mode: 0o755, uid: 0, gid: 0 } }, label: `make ${path.path}` };
}

function plan(steps, mounts = []) {
  return { steps, mounts, state: [], diagnostics: [] };
}
