(() => {
  const seen = new Set();
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = given => ({...given, gridcolor: colour('--line'), linecolor: colour('--line'), zerolinecolor: colour('--line'), automargin: true, title: {text: given?.title?.text ?? given?.title ?? '', standoff: 8}});
  const draw = place => {
    if (place.closest('details:not([open])')) return;
    const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
    const layout = {...figure.layout, template: undefined, autosize: true, hovermode: 'closest',
      paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', font: {color: colour('--ink'), size: 13},
      margin: {l: 48, r: 10, t: 34, b: 44}, modebar: {bgcolor: 'rgba(0,0,0,0)', color: colour('--soft'), activecolor: colour('--ink')}, legend: {orientation: 'h', x: 0, y: 1.02, yanchor: 'bottom'},
      hoverlabel: {bgcolor: colour('--panel'), font: {color: colour('--ink')}},
      xaxis: axis(figure.layout.xaxis), yaxis: axis(figure.layout.yaxis), ...(figure.layout.yaxis2 ? {yaxis2: axis(figure.layout.yaxis2)} : {})};
    Plotly.react(place, figure.data.filter(trace => Filters.keepsName(trace.name)), layout, {responsive: true, displayModeBar: matchMedia('(hover: hover)').matches ? 'hover' : false, displaylogo: false, modeBarButtonsToRemove: ['select2d', 'lasso2d', 'autoScale2d']});
    seen.add(place);
  };
  const later = window.requestIdleCallback ?? (work => setTimeout(work, 1));
  const drawEach = waiting => later(() => { const place = waiting.shift(); if (place) { draw(place); drawEach(waiting); } });
  const places = [...document.querySelectorAll('.plot')];
  drawEach([...places]);
  Filters.whenChanged(() => drawEach([...seen]));
  document.addEventListener('toggle', event => event.target.querySelectorAll?.('.plot').forEach(draw), true);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => seen.forEach(draw));
})();
