(() => {
  const at = id => document.getElementById(id);
  const dialog = at('viewer'), canvas = at('viewer-canvas'), state = at('viewer-state');
  const sliders = [...document.querySelectorAll('.viewer-slice')];
  const COLOURS = {reference: [230, 159, 0], prediction: [86, 180, 233], both: [0, 158, 115]};
  let viewer = null, masks = null;

  const unpack = async text => {
    const packed = Uint8Array.from(atob(text), one => one.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
    return new Response(stream).arrayBuffer();
  };
  const able = () => typeof DecompressionStream === 'function' && Boolean(document.createElement('canvas').getContext('webgl2'));

  const start = async () => {
    const script = document.createElement('script');
    script.textContent = new TextDecoder().decode(await unpack(at('viewer-library').textContent));
    document.head.append(script);
    viewer = new niivue.Niivue({
      logLevel: 'error', isRadiologicalConvention: true, multiplanarShowRender: 1, dragAndDropEnabled: false, crosshairWidth: 0.3,
      crosshairColor: [1, 1, 1, 0.6], fontColor: [0.85, 0.85, 0.85, 1], isCornerOrientationText: true, loadingText: '', show3Dcrosshair: false,
    });
    viewer.onLocationChange = follow;
    await viewer.attachToCanvas(canvas);
    // Without alpha the scan is seen in slices alone, so that it does not hide the masks in 3D.
    viewer.addColormap('scan', {R: [0, 255], G: [0, 255], B: [0, 255], A: [0, 0], I: [0, 255]});
  };

  const size = axis => viewer.volumes[0].dimsRAS[axis + 1];
  const follow = () => sliders.forEach((slider, axis) => {
    if (!viewer.volumes.length) return;
    slider.max = size(axis);
    slider.value = Math.min(size(axis), Math.floor(viewer.scene.crosshairPos[axis] * size(axis)) + 1);
    slider.setAttribute('aria-valuetext', `slice ${slider.value} of ${slider.max}`);
  });
  const paint = () => {
    const reference = at('viewer-reference').checked, prediction = at('viewer-prediction').checked;
    const shown = [[0, 0, 0], COLOURS.reference, COLOURS.prediction,
      reference && prediction ? COLOURS.both : reference ? COLOURS.reference : COLOURS.prediction];
    masks.setColormapLabel({R: shown.map(one => one[0]), G: shown.map(one => one[1]), B: shown.map(one => one[2]),
      A: [0, reference ? 255 : 0, prediction ? 255 : 0, reference || prediction ? 255 : 0], I: [0, 1, 2, 3]});
    viewer.updateGLVolume();
  };

  const fill = async scene => {
    [...viewer.volumes].reverse().forEach(one => viewer.removeVolume(one));
    viewer.addVolume(await niivue.NVImage.new(await unpack(scene.image), 'scan.nii', 'scan', 1, null, 0, 63));
    masks = await niivue.NVImage.new(await unpack(scene.masks), 'masks.nii', 'gray', 0.6, null, 0, 3);
    viewer.addVolume(masks);
    paint();
    viewer.scene.crosshairPos = middle();
    viewer.drawScene();
    follow();
  };
  const middle = () => {
    const [wide, deep] = [size(0), size(1)], sum = [0, 0, 0];
    let found = 0;
    masks.img.forEach((value, index) => {
      if (!value) return;
      found += 1;
      sum[0] += index % wide; sum[1] += Math.floor(index / wide) % deep; sum[2] += Math.floor(index / wide / deep);
    });
    return sum.map((one, axis) => found ? (one / found + 0.5) / size(axis) : 0.5);
  };

  const open = async button => {
    const sentence = button.parentElement.querySelector('.unable');
    if (!able()) {
      sentence.textContent = 'This browser shows no WebGL 2, so the 3D view cannot open here. The picture above shows the same case.';
      return;
    }
    const scene = JSON.parse(at(button.dataset.scene).textContent);
    at('viewer-title').textContent = button.dataset.title;
    at('viewer-caption').textContent = `${button.dataset.caption}. ${scene.said}`;
    canvas.setAttribute('aria-label', `Slices and 3D view of ${button.dataset.title}, with reference and prediction laid over the scan`);
    state.textContent = 'Opening …';
    dialog.showModal();
    try {
      if (!viewer) await start();
      await fill(scene);
      state.textContent = '';
    } catch (error) {
      state.textContent = `The 3D view could not be drawn (${error.message}). The picture in the page shows the same case.`;
    }
  };

  document.addEventListener('click', event => event.target.closest?.('.turn') && open(event.target.closest('.turn')));
  at('viewer-close').addEventListener('click', () => dialog.close());
  document.querySelectorAll('[name=viewer-view]').forEach(one => one.addEventListener('change', () => viewer?.setSliceType(Number(one.value))));
  ['viewer-reference', 'viewer-prediction'].forEach(id => at(id).addEventListener('change', () => masks && paint()));
  sliders.forEach((slider, axis) => slider.addEventListener('input', () => {
    if (!viewer?.volumes.length) return;
    viewer.scene.crosshairPos[axis] = (Number(slider.value) - 0.5) / size(axis);
    viewer.drawScene();
    follow();
  }));
})();
