window.Filters = (() => {
  const AT_ONCE = 50, MAPS_AT_ONCE = 6;
  const bar = document.getElementById('filters');
  const {values, names} = bar ? JSON.parse(document.getElementById('facets').textContent) : {values: {}, names: {}};
  const known = Object.fromEntries(Object.entries(values).map(([name, list]) => [name, new Set(list)]));
  const chosen = Object.fromEntries(Object.keys(values).map(name => [name, new Set()]));
  const listeners = [];
  const scratch = document.createElement('textarea');
  const words = html => {
    const bare = html.replace(/<[^>]*>/g, '');
    if (!bare.includes('&')) return bare.trim();
    scratch.innerHTML = bare;
    return scratch.value.trim();
  };
  // What names nothing that can be chosen ("all source sets") is never filtered away.
  const passes = (facet, value) => !chosen[facet]?.size || !known[facet].has(value) || chosen[facet].has(value);
  const keeps = place => Object.entries(place).every(([facet, value]) => value === undefined || passes(facet, value));
  const keepsName = name => !(name in names) || keeps({method: names[name][0], network: names[name][1]});

  const placeOf = (row, facets) => {
    const place = {};
    facets.forEach((facet, column) => {
      if (!facet) return;
      const text = words(row[column]);
      if (facet === 'shift') [place.source, place.target] = text.replace(/ ⌂$/, '').split(' → ');
      else if (facet === 'method' && text in names) [place.method, place.network] = names[text];
      else place[facet] = text;
    });
    return place;
  };
  const grids = [...document.querySelectorAll('.grid')].map(root => {
    const facets = root.dataset.facets.split(','), kinds = root.dataset.kinds.split(',');
    const rows = [...root.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.innerHTML));
    rows.push(...JSON.parse(root.querySelector('.waiting')?.textContent || '[]'));
    const [back, on] = ['.turn-back', '.turn-on'].map(name => root.querySelector(name));
    const caption = root.querySelector('caption').textContent;
    [[back, 'Previous'], [on, 'Next']].forEach(([button, word]) => button.setAttribute('aria-label', `${word} rows of ${caption}`));
    const grid = {root, kinds, rows, back, on, group: Number(root.dataset.group), from: 0, found: rows, untouched: true,
      places: facets.some(Boolean) ? rows.map(row => placeOf(row, facets)) : null};
    back.addEventListener('click', () => turn(grid, -AT_ONCE));
    on.addEventListener('click', () => turn(grid, AT_ONCE));
    return grid;
  });
  const turn = (grid, step) => {
    grid.from = Math.max(0, Math.min(grid.from + step, grid.found.length - 1));
    draw(grid);
    if (document.activeElement.hidden || document.activeElement.disabled) (step > 0 ? grid.back : grid.on).focus();
  };
  const draw = grid => {
    const {rows, found, from} = grid, until = Math.min(from + AT_ONCE, found.length);
    if (!(grid.untouched && found === rows && from === 0)) {
      grid.untouched = false;
      grid.root.querySelector('tbody').innerHTML = found.slice(from, until).map((row, place, all) => {
        const starts = place && grid.group >= 0 && row[grid.group] !== all[place - 1][grid.group];
        const cells = row.map((cell, column) => !column ? `<th scope="row">${cell}</th>`
          : `<td class="${grid.kinds[column]}"${grid.kinds[column] === 'axis' ? ' aria-hidden="true"' : ''}>${cell}</td>`);
        return `<tr${starts ? ' class="new"' : ''}>${cells.join('')}</tr>`;
      }).join('');
    }
    grid.root.querySelector('.rows').textContent = !found.length ? `None of ${rows.length} rows fits the filters.`
      : found.length > AT_ONCE ? `Rows ${from + 1} to ${until} of ${found.length}${found.length < rows.length ? `, ${rows.length - found.length} filtered out` : ''}.`
      : found.length < rows.length ? `${found.length} of ${rows.length} rows.` : '';
    grid.back.hidden = grid.on.hidden = found.length <= AT_ONCE;
    grid.back.disabled = from === 0;
    grid.on.disabled = until >= found.length;
  };

  const maps = [...document.querySelectorAll('.maps')].map(root => {
    const waiting = JSON.parse(root.parentElement.querySelector(':scope > .waiting-maps')?.textContent || '[]');
    const items = [...root.children].map(node => ({name: node.dataset.name, node})).concat(waiting.map(([name, html]) => ({name, html})));
    const set = {root, items, limit: MAPS_AT_ONCE, more: root.parentElement.querySelector(':scope > .more-maps')};
    set.more?.addEventListener('click', () => { set.limit += MAPS_AT_ONCE; drawMaps(set); });
    return set;
  });
  const drawMaps = set => {
    const fitting = set.items.filter(item => keepsName(item.name)), shown = fitting.slice(0, set.limit);
    shown.forEach(item => {
      if (item.node) return;
      const holder = document.createElement('div');
      holder.innerHTML = item.html;
      item.node = holder.firstElementChild;
    });
    set.root.replaceChildren(...shown.map(item => item.node));
    shown.forEach(({node}) => {
      const heads = [...node.querySelectorAll('thead th')].map((head, column) => !column || passes('target', head.textContent));
      node.querySelectorAll('tr').forEach((row, place) => {
        row.hidden = place > 0 && !passes('source', row.cells[0].textContent);
        [...row.cells].forEach((cell, column) => { cell.hidden = !heads[column]; });
      });
    });
    if (!set.more) return;
    set.more.hidden = fitting.length <= set.limit;
    set.more.textContent = `Show ${Math.min(MAPS_AT_ONCE, fitting.length - set.limit)} more of ${fitting.length - shown.length} maps`;
  };

  const read = () => {
    const parts = location.hash.slice(1).split('&'), asked = {};
    parts.filter(part => part.includes('=')).forEach(part => {
      const [facet, list] = part.split('=');
      asked[facet] = list.split(',').map(decodeURIComponent);
    });
    return {section: parts.find(part => part && !part.includes('=')) || '', asked};
  };
  const fragment = section => [section, ...Object.entries(chosen).filter(([, set]) => set.size)
    .map(([facet, set]) => `${facet}=${[...set].map(encodeURIComponent).join(',')}`)].filter(Boolean).join('&');
  const keep = section => history.replaceState(null, '', `#${fragment(section)}`);

  const apply = () => {
    let rows = 0, fitting = 0, tables = 0;
    grids.forEach(grid => {
      const active = Object.values(chosen).some(set => set.size);
      grid.found = active && grid.places ? grid.rows.filter((_, index) => keeps(grid.places[index])) : grid.rows;
      grid.from = 0;
      draw(grid);
      if (grid.places) { rows += grid.rows.length; fitting += grid.found.length; tables += 1; }
    });
    maps.forEach(drawMaps);
    document.querySelectorAll('[data-source],[data-target]').forEach(place => {
      const {method, network, source, target} = place.dataset;
      place.hidden = !keeps({method, network, source, target});
    });
    document.querySelectorAll('.pictures').forEach(group => { group.parentElement.hidden = [...group.children].every(one => one.hidden); });
    bar?.querySelectorAll('.pick').forEach(pick => {
      const set = chosen[pick.dataset.facet];
      pick.querySelector('.chosen').textContent = !set.size ? 'all' : set.size === 1 ? [...set][0] : `${set.size} of ${known[pick.dataset.facet].size}`;
      pick.querySelectorAll('input').forEach(box => { box.checked = set.has(box.value); });
    });
    if (bar) {
      const number = value => value.toLocaleString('en-US').replaceAll(',', ' ');
      document.getElementById('shown').textContent = `${number(fitting)} of ${number(rows)} rows shown, in ${tables} tables of at most ${AT_ONCE} rows at once`;
      document.getElementById('clear').hidden = !Object.values(chosen).some(set => set.size);
    }
    listeners.forEach(listen => listen());
  };
  const restore = () => {
    const {section, asked} = read();
    const plain = section && !Object.keys(asked).length;
    // A link to a section names no filters: the chosen ones stay.
    if (!plain) Object.entries(chosen).forEach(([facet, set]) => {
      set.clear();
      (asked[facet] || []).filter(value => known[facet].has(value)).forEach(value => set.add(value));
    });
    if (plain) keep(section);
    apply();
    if (section && !plain) document.getElementById(section)?.scrollIntoView();
  };

  bar?.addEventListener('change', event => {
    const set = chosen[event.target.closest('.pick').dataset.facet];
    event.target.checked ? set.add(event.target.value) : set.delete(event.target.value);
    keep(read().section);
    apply();
  });
  document.getElementById('clear')?.addEventListener('click', () => {
    Object.values(chosen).forEach(set => set.clear());
    keep(read().section);
    apply();
    bar.querySelector('summary').focus();
  });
  bar?.addEventListener('keydown', event => {
    const pick = event.target.closest('.pick[open]');
    if (event.key !== 'Escape' || !pick) return;
    pick.open = false;
    pick.querySelector('summary').focus();
  });
  document.addEventListener('click', event => bar?.querySelectorAll('.pick[open]').forEach(pick => { if (!pick.contains(event.target)) pick.open = false; }));
  addEventListener('hashchange', restore);
  restore();
  return {keepsName, whenChanged: listen => listeners.push(listen)};
})();
