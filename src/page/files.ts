import { button, byId } from "./dom.ts"

/** Takes a recording that the person chooses or drops onto the page. */
export const watchFiles = (onFile: (file: File) => void, isShown: () => boolean): void => {
  const input = byId("file", HTMLInputElement)
  const drop = byId("drop", HTMLElement)
  const take = (files: FileList | null | undefined) => {
    const file = files?.item(0)
    if (file) onFile(file)
  }
  button("choose-file").addEventListener("click", () => input.click())
  input.addEventListener("change", () => {
    take(input.files)
    // Otherwise choosing the same file again fires no event.
    input.value = ""
  })
  const isFile = ({ dataTransfer }: DragEvent) =>
    isShown() && (dataTransfer?.types.includes("Files") ?? false)
  document.addEventListener("dragover", (event) => {
    if (!isFile(event)) return
    event.preventDefault()
    drop.hidden = false
  })
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (relatedTarget === null) drop.hidden = true
  })
  document.addEventListener("drop", (event) => {
    drop.hidden = true
    if (!isFile(event)) return
    event.preventDefault()
    take(event.dataTransfer?.files)
  })
}
