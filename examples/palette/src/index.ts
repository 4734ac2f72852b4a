export { parseHex, toHex } from "./hex.ts";
export type { Colour } from "./hex.ts";
