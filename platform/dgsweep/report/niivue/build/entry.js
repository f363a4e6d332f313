// What templates/viewer.js uses.
export { Niivue, NVImage } from "@niivue/niivue";
