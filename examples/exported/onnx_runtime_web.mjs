// Probabilities of a video's views by a model of `video-rs export`, in a browser or in Node, with onnxruntime-web.
//
//     import * as ort from "onnxruntime-web";
//     const session = await ort.InferenceSession.create("model.onnx");
//     const about = await (await fetch("model.onnx.json")).json();
//     const answer = await classify(ort, session, about, views, [frames, height, width]);

/**
 * @param ort the module onnxruntime-web or onnxruntime-node.
 * @param session of the model.
 * @param about what model.onnx.json holds.
 * @param views one Uint8Array for each view: RGB bytes of its frames one after the other, [T, H, W, 3].
 * @param shape [T, H, W] of each view.
 * @returns {top: [{label, score}], unsure}, the best first; unsure is null for a model without a threshold.
 */
export async function classify(ort, session, about, views, [frames, height, width]) {
  const pixels = frames * height * width;
  const mean = new Float64Array(about.num_classes);
  for (const view of views) {
    // [T, H, W, 3] -> [1, 3, T, H, W]: all of red, then all of green, then all of blue.
    const clips = new Uint8Array(3 * pixels);
    for (let pixel = 0; pixel < pixels; pixel++) {
      for (let channel = 0; channel < 3; channel++) {
        clips[channel * pixels + pixel] = view[3 * pixel + channel];
      }
    }
    const tensor = new ort.Tensor("uint8", clips, [1, 3, frames, height, width]);
    const { probabilities } = await session.run({ clips: tensor });
    probabilities.data.forEach((value, place) => (mean[place] += value / views.length));
  }

  const top = about.label_names.map((label, place) => ({ label, score: mean[place] }));
  top.sort((one, other) => other.score - one.score);
  const unsure = about.threshold === null ? null : top[0].score < about.threshold;
  return { top, unsure };
}

/** RGB bytes [H, W, 3] of a canvas, which holds RGBA. */
export function rgbOf(imageData) {
  const { data, width, height } = imageData;
  const rgb = new Uint8Array(3 * width * height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    rgb.set(data.subarray(4 * pixel, 4 * pixel + 3), 3 * pixel);
  }
  return rgb;
}
