(() => {
  const told = JSON.parse(document.getElementById('told').textContent);
  const of = id => document.getElementById(id);
  const items = [...document.querySelectorAll('section[data-item]')];
  const names = items.map(item => item.dataset.item);
  const store = `dgsweep-${told.study}`;
  const kept = () => { try { return JSON.parse(localStorage.getItem(store)) ?? {}; } catch { return {}; } };
  const given = {...kept()};
  let place = Math.max(0, names.findIndex(name => !given[name]?.accept));
  let saved = true;
  const keep = () => { saved = false; try { localStorage.setItem(store, JSON.stringify(given)); } catch { /* a browser that keeps nothing: the page still does */ } };
  const answered = () => names.filter(name => given[name]?.accept).length;
  const show = () => {
    const own = given[names[place]] ?? {};
    items.forEach((item, i) => { item.hidden = i !== place; });
    ['accept', 'reject'].forEach(word => of(word).setAttribute('aria-pressed', own.accept === word));
    of('comment').value = own.comment ?? '';
    of('place').textContent = `${place + 1} of ${names.length}`;
    of('progress').textContent = answered() === names.length ? 'All answered. Save, and send the file back.' : `${answered()} of ${names.length} answered`;
    of('back').disabled = place === 0;
    of('next').disabled = place === names.length - 1;
  };
  const go = to => { place = Math.min(Math.max(to, 0), names.length - 1); document.querySelector('main').scrollTop = 0; bare(false); show(); };
  const open = () => { const later = names.findIndex((name, i) => i > place && !given[name]?.accept); go(later < 0 ? names.findIndex(name => !given[name]?.accept) : later); };
  const answer = word => {
    given[names[place]] = {...given[names[place]], accept: word};
    keep();
    answered() < names.length ? open() : show();
  };
  const cell = text => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const csv = () => ['item,reader,accept,comment', ...names.map(name => [name, told.reader, given[name]?.accept ?? '', given[name]?.comment ?? ''].map(cell).join(','))].join('\n') + '\n';
  const save = () => {
    const link = Object.assign(document.createElement('a'), {href: URL.createObjectURL(new Blob([csv()], {type: 'text/csv'})), download: `${told.reader}.csv`});
    link.click();
    saved = true;
  };
  const bare = hidden => {
    document.body.classList.toggle('bare', hidden);
    of('hide').setAttribute('aria-pressed', hidden);
    of('hide').textContent = hidden ? 'Show line' : 'Hide line';
  };
  const hide = () => bare(!document.body.classList.contains('bare'));
  of('accept').onclick = () => answer('accept');
  of('reject').onclick = () => answer('reject');
  of('back').onclick = () => go(place - 1);
  of('next').onclick = () => go(place + 1);
  of('save').onclick = save;
  of('hide').onclick = hide;
  of('comment').oninput = event => { given[names[place]] = {...given[names[place]], comment: event.target.value}; keep(); };
  const keys = {a: () => answer('accept'), r: () => answer('reject'), arrowleft: () => go(place - 1), arrowright: () => go(place + 1), n: open, h: hide, s: save, c: () => of('comment').focus()};
  document.addEventListener('keydown', event => {
    if (event.target === of('comment')) { if (event.key === 'Escape' || event.key === 'Enter') of('comment').blur(); return; }
    const work = keys[event.key.toLowerCase()];
    if (!work || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    work();
  });
  addEventListener('beforeunload', event => { if (!saved) event.preventDefault(); });
  window.answersAsCsv = csv;
  show();
})();
