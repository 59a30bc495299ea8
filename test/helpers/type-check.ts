import ts from 'typescript'

/** What TypeScript finds wrong with some files under the settings of the project; not with what they import. */
export function mistakesIn (files: string[], compilerOptions: ts.CompilerOptions): string[] {
  const { fileNames, options } = ts.parseJsonConfigFileContent({ extends: './tsconfig.json', files, include: [], compilerOptions }, ts.sys, process.cwd())
  const program = ts.createProgram(fileNames, options)
  const mistakes = fileNames.flatMap(file => [...ts.getPreEmitDiagnostics(program, program.getSourceFile(file))])
  return mistakes.map(({ file, start = 0, messageText }) => {
    const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line + 1
    return `${file?.fileName ?? 'settings'}:${line} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
  })
}
